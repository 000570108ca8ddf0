"""The database behind the store: its connections, its transactions, and what its errors mean to a client.

    with database.writing() as connection: ...      one transaction; committed at the end, or nothing of it is

An error of the database becomes StoreUnavailable or NoSpace, whose ``log`` has the text and where the database is; a
client sees neither. StoreUnsure is where the connection broke between a commit and the answer to it: what was changed
may be there. Only a broken constraint comes through as it is, since the store asks for it.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from modelserve.errors import NoSpace, StoreUnavailable, StoreUnsure, Unavailable

__all__ = [
    "BUSY_S",
    "INCREMENTAL",
    "Database",
    "Haste",
    "is_damaged",
    "is_locked",
    "postgresql_engine",
    "sqlite_engine",
    "unhurried",
]

# What SQLite calls a file whose free pages are given back when that is asked for; so many are at once.
INCREMENTAL = 2
PAGES_AT_ONCE = 1000

# A file of before is written anew only where so much of it is free.
REWRITTEN_BYTES = 16 << 20

# How long a statement waits for another program's lock.
BUSY_S = 5.0

# FULL: a commit is on the disk when it returns, also at a loss of power (sqlite.org/pragma.html#pragma_synchronous).
_PRAGMAS = (f"busy_timeout = {BUSY_S * 1000:.0f}", "synchronous = FULL", "foreign_keys = ON")

# How long PostgreSQL may take for a statement. A heartbeat has less time, and does nothing large.
STATEMENT_S = 30.0
VITAL_STATEMENT_S = 5.0

# So much longer than a statement may take nothing is heard of a database that is there: it ends the statement itself.
SILENCE_S = 2.0

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
    "SET statement_timeout = '{statement_s:.0f}s'",
    "SET idle_in_transaction_session_timeout = '30s'",
)

# postgresql.org/docs/current/errcodes-appendix.html: disk_full.
_DISK_FULL = "53100"


class Haste:
    """How long a database may be silent, where that is less than a statement has: all its connections share one."""

    silence_s = math.inf


class Database:
    """One database, opened.

    Args:
        engine: From one of the functions below.
        where: The database in words for the operator, without a password.
        haste: What its engine was given.
    """

    def __init__(self, engine: Engine, where: str, haste: Haste | None = None) -> None:
        self.engine = engine
        self.where = where
        self._haste = haste or Haste()
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
        with self._translated(), self._writing.connect() as connection, connection.begin() as transaction:
            yield connection
            with self._committing():
                transaction.commit()

    def apart(self) -> Database:
        """Return the same database with a connection of its own, for what must not wait for anything else."""
        url = self.engine.url
        if url.get_backend_name() == "sqlite":
            return Database(sqlite_engine(Path(url.database or "")), self.where)
        engine = postgresql_engine(url, statement_s=VITAL_STATEMENT_S, haste=self._haste)
        return Database(engine, self.where, self._haste)

    def hurry(self, silence_s: float) -> None:
        """From now on, have no statement wait longer for a database of which nothing is heard; from any thread.

        It counts for :meth:`apart` too. Where it is a file there is nothing to be heard.
        """
        self._haste.silence_s = silence_s

    def give_back(self) -> None:
        """Give the pages of a SQLite file that nothing is on back to the disk, a little at a time.

        A file that an older version has made is written anew for that, once most of a large one is free.
        """
        if self.engine.dialect.name != "sqlite":
            return
        with contextlib.closing(self.engine.raw_connection()) as raw:
            try:
                _give_back(raw.cursor())
            except sqlite3.Error as error:
                raise self._unavailable(OperationalError("VACUUM", None, error)) from error

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

    @contextmanager
    def _committing(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if _is_certain(error):
                raise
            raise StoreUnsure("The store of jobs cannot be used now.", log=self._log(error)) from error

    def _unavailable(self, error: DBAPIError) -> Unavailable:
        if _is_full(error):
            return NoSpace("The store of jobs has no room left.", log=self._log(error))
        return StoreUnavailable("The store of jobs cannot be used now.", log=self._log(error))

    def _log(self, error: DBAPIError) -> str:
        said = " ".join(str(error.orig).split())  # the log shows one line of several
        return f"the store of jobs, {self.where}: {said}"


def _give_back(cursor: Any) -> None:
    mode, free, count, size = (
        cursor.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("auto_vacuum", "freelist_count", "page_count", "page_size")
    )
    if mode == INCREMENTAL:
        for _ in range(0, free, PAGES_AT_ONCE):
            cursor.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")  # execute would free one page alone
    elif free * size > REWRITTEN_BYTES and 2 * free > count:
        cursor.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        cursor.execute("VACUUM")


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


def postgresql_engine(url: URL, *, statement_s: float = STATEMENT_S, haste: Haste | None = None) -> Engine:
    """Return an engine on a PostgreSQL database; it does not connect yet.

    Args:
        url: Its address.
        statement_s: How long one statement may take, and a little more how long the database may be silent.
        haste: Makes that less, once it says so.

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
    patience = _Patience(statement_s, haste or Haste())
    event.listen(engine, "do_connect", patience.connect)
    event.listen(engine, "connect", patience.settle)
    return engine


@contextmanager
def unhurried(connection: Connection) -> Iterator[None]:
    """Let statements on a connection to PostgreSQL take as long as they do in the block."""
    own: Any = connection.connection.dbapi_connection
    before, own.silence_s = own.silence_s, math.inf
    try:
        yield
    finally:
        own.silence_s = before


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


class _Patience:
    """Connects to PostgreSQL so that no statement is waited for without end, whatever becomes of the connection."""

    def __init__(self, statement_s: float, haste: Haste) -> None:
        self._statement_s = statement_s
        self._haste = haste

    def connect(self, dialect: object, record: object, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        from modelserve.jobs.heard_connection import HeardConnection  # psycopg is there, or there is no engine

        connection = HeardConnection.connect(*arguments, **keywords)
        connection.silence_s = self._statement_s + SILENCE_S
        connection.most_s = lambda: self._haste.silence_s
        return connection

    def settle(self, connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(_SESSION).format(statement_s=self._statement_s))
        connection.commit()


def _is_full(error: DBAPIError) -> bool:
    return _sqlite_code(error) == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", "") == _DISK_FULL


def _is_certain(error: DBAPIError) -> bool:
    """Tell whether the database itself has refused a commit, so that nothing of it is there."""
    return is_locked(error) or _is_full(error) or bool(getattr(error.orig, "sqlstate", None))


def _sqlite_code(error: Exception) -> int:
    """Return SQLite's primary result code, 0 for another database."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
