"""The database behind the store: its connections, its transactions, and what its errors mean to a client.

    with database.writing() as connection: ...      one transaction; committed at the end, or nothing of it is

An error of the database becomes StoreUnavailable or NoSpace, whose ``log`` has the text and where the database is; a
client sees neither. Only a broken constraint comes through as it is, since the store asks for it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from modelserve.errors import NoSpace, StoreUnavailable, Unavailable

__all__ = ["BUSY_S", "Database", "is_damaged", "is_locked", "postgresql_engine", "sqlite_engine"]

# How long a statement waits for another program's lock.
BUSY_S = 5.0

# FULL: a commit is on the disk when it returns, also at a loss of power (sqlite.org/pragma.html#pragma_synchronous).
_PRAGMAS = (f"busy_timeout = {BUSY_S * 1000:.0f}", "synchronous = FULL", "foreign_keys = ON")

# A server that is gone without a word is noticed in about ten seconds (libpq, "Parameter Key Words").
_CONNECTING = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# The third: a machine that vanishes within a transaction does not hold its locks for the hours that TCP takes.
_SESSION = (
    f"SET lock_timeout = '{BUSY_S:.0f}s'",
    "SET statement_timeout = '30s'",
    "SET idle_in_transaction_session_timeout = '30s'",
)

# postgresql.org/docs/current/errcodes-appendix.html: disk_full.
_DISK_FULL = "53100"


class Database:
    """One database, opened.

    Args:
        engine: From one of the functions below.
        where: The database in words for the operator, without a password.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self.engine = engine
        self.where = where
        # Without this two transactions that both read first could not both write, and SQLite would refuse one at once.
        self._writing = engine.execution_options(begin="BEGIN IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection in a transaction that only reads."""
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that holds the database's lock from the first, where it has only one."""
        with self._translated(), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: DBAPIError) -> Unavailable:
        log = f"the store of jobs, {self.where}: {str(error.orig).strip()}"
        if _is_full(error):
            return NoSpace("The store of jobs has no room left.", log=log)
        return StoreUnavailable("The store of jobs cannot be used now.", log=log)


def sqlite_engine(path: Path) -> Engine:
    """Return an engine on a SQLite file, which the first connection makes where it is not there."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_S, "isolation_level": None},  # the event below begins transactions, not Python
        hide_parameters=True,
    )
    event.listen(engine, "connect", _settle_sqlite)
    event.listen(engine, "begin", _SameFile(path).begin)
    return engine


def postgresql_engine(url: URL) -> Engine:
    """Return an engine on a PostgreSQL database; it does not connect yet.

    Raises:
        ImportError: psycopg is not installed.
    """
    settings = {name: value for name, value in _CONNECTING.items() if name not in url.query}
    engine = create_engine(
        url,
        connect_args=settings,
        pool_pre_ping=True,
        hide_parameters=True,
        # Whatever the operator's default is: a statement sees what the lock that it has waited for was held for.
        isolation_level="READ COMMITTED",
    )
    event.listen(engine, "connect", _settle_postgresql)
    return engine


def is_locked(error: Exception) -> bool:
    """Tell whether another program's lock was in the way, so that a later try may succeed."""
    return _sqlite_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_damaged(error: Exception) -> bool:
    """Tell whether a SQLite file is damaged or no database of ours; no other error is a plain DatabaseError."""
    return type(getattr(error, "orig", error)) is sqlite3.DatabaseError


def _settle_sqlite(connection: sqlite3.Connection, record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


class _SameFile:
    """Begins transactions, as long as the file is the one that was opened: what goes to one without a name is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def begin(self, connection: Connection) -> None:
        statement = connection.get_execution_options().get("begin", "BEGIN")
        found = self._identity()
        self._opened = self._opened or found
        if found != self._opened:
            reason = sqlite3.OperationalError("the file was removed or replaced after the start; start the server anew")
            raise OperationalError(statement, None, reason)
        connection.exec_driver_sql(statement)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _settle_postgresql(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("; ".join(_SESSION))
    connection.commit()


def _is_full(error: DBAPIError) -> bool:
    return _sqlite_code(error) == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", "") == _DISK_FULL


def _sqlite_code(error: Exception) -> int:
    """Return SQLite's primary result code, 0 for another database."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
