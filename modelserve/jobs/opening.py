"""Opens the database of the jobs, with its tables of the newest version, or says in one sentence why not.

    settings ``database`` and ``data_dir``  ->  Database          or StoreBroken, StoreNewer, StoreUnreachable

What is damaged, or newer than this program, is looked at read-only and left as it is, byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from modelserve.errors import StartError, StoreBroken, StoreNewer, StoreUnreachable
from modelserve.jobs import schema
from modelserve.jobs.data_folder import DATABASE_FILE
from modelserve.jobs.database import (
    BUSY_S,
    INCREMENTAL,
    Database,
    Haste,
    is_damaged,
    is_locked,
    postgresql_engine,
    sqlite_engine,
    unhurried,
)

__all__ = ["open_database"]

ERRORS = (DBAPIError, sqlite3.Error)

# Only a file up to this size is read whole before it is trusted: 64 MiB take about a tenth of a second from memory.
CHECKED_BYTES = 64 << 20

# Any number that no other program takes for its own advisory lock; this one spells "modelsrv".
_LOCK = int.from_bytes(b"modelsrv")

_ELSEWHERE = "give another folder with --data-dir or another --database"
_WITHOUT = f"{_ELSEWHERE}, or serve without jobs (train = false)"
_RESTORE = f"Restore it from a backup or move it away; or {_ELSEWHERE}."


def open_database(url: str, data_dir: Path, *, wait_s: float) -> Database:
    """Open the database, making and upgrading its tables where that is needed.

    Blocks, up to about ``wait_s`` seconds for a database that does not answer or that another program has locked.

    Args:
        url: ``postgresql+psycopg://...``, ``sqlite:///PATH``, or "" for ``modelserve.db`` in the data folder.
        data_dir: The data folder; it is made where it is not there.
        wait_s: How long to wait.

    Raises:
        StoreBroken: It is damaged, or another program's.
        StoreNewer: A newer version has written it.
        StoreUnreachable: The data folder or the database cannot be made, written or reached.
    """
    _make_folder(data_dir)
    target = _target(url, data_dir)
    if target.get_backend_name() == "sqlite":
        return _open_sqlite(Path(target.database or ""), wait_s)
    return _open_postgresql(target, wait_s)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnreachable(f"The data folder {path} cannot be written: {reason}; {_WITHOUT}.") from error


def _target(url: str, data_dir: Path) -> URL:
    try:
        target = make_url(url) if url else URL.create("sqlite", database=str(data_dir / DATABASE_FILE))
    except (ArgumentError, ValueError):  # the second for a port that is no number
        raise _no_database() from None  # the error would show the url, and so a password
    if target.get_backend_name() == "postgresql":
        if "@" in f"{target.host}{target.database}":  # then a part of the password is taken for the host, and shown
            raise _no_database()
        return target.set(drivername="postgresql+psycopg")
    if target.get_backend_name() != "sqlite" or target.database in {None, "", ":memory:"}:
        raise _no_database()
    return target


def _no_database() -> StartError:
    return StoreUnreachable(
        "The database, given with --database or MODELSERVE_DATABASE, is to be"
        " postgresql+psycopg://USER:PASSWORD@HOST/NAME, with @ in the password as %40, or sqlite:///PATH."
    )


def _patiently(attempt: Callable[[], None], wait_s: float, may_pass: Callable[[Exception], bool]) -> None:
    """Do something until it works, with growing pauses, as long as what is in the way may pass."""
    end, pause_s = time.monotonic() + wait_s, 0.05
    while True:
        try:
            return attempt()
        except ERRORS as error:
            if not may_pass(error) or time.monotonic() + pause_s > end:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


# SQLite


def _open_sqlite(path: Path, wait_s: float) -> Database:
    where = f"the file {path}"
    with contextlib.ExitStack() as stack, _refusing(where):
        found = _look(path)
        _refuse_newer(found, where)
        _make_file(path)
        engine = sqlite_engine(path)
        stack.callback(engine.dispose)
        if found != schema.HEAD:
            _patiently(lambda: _upgrade_sqlite(engine, where), wait_s, is_locked)
        _check_writable(engine)
        _make_private(path)
        stack.pop_all()
    return Database(engine, where)


def _make_file(path: Path) -> None:
    """Make the file for this user alone where it is not there; SQLite gives those beside it the same rights.

    It is made without being opened: closing it would take away the locks that this process has on it.
    """
    with contextlib.suppress(OSError):  # it is there; or SQLite will make it, or say why not
        os.mknod(path, 0o600 | stat.S_IFREG)


def _make_private(path: Path) -> None:
    """Take away the rights of others, which an older version left them, where the files are ours."""
    for name in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            file = Path(f"{path}{name}")
            file.chmod(file.stat().st_mode & 0o700)


def _look(path: Path) -> str:
    """Return the version of the tables in a file, changing nothing."""
    if not path.exists() or not path.stat().st_size:
        return ""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_S)) as file:
        if path.stat().st_size <= CHECKED_BYTES:
            _check_pages(file)
        names = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" in names:
            return str((file.execute("SELECT version_num FROM alembic_version").fetchone() or [""])[0])
        if names:
            raise sqlite3.DatabaseError("it is the database of another program")
        return ""


def _check_pages(file: sqlite3.Connection) -> None:
    (found,) = file.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _upgrade_sqlite(engine: Engine, where: str) -> None:
    with contextlib.closing(engine.raw_connection()) as raw:
        raw.cursor().execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")  # only an empty file takes it
        raw.cursor().execute("PRAGMA journal_mode = WAL")  # kept in the file; not possible in a transaction
    with engine.execution_options(begin="BEGIN EXCLUSIVE").begin() as connection:
        _bring_up(connection, where)


# PostgreSQL


def _open_postgresql(url: URL, wait_s: float) -> Database:
    where = f"the database {url.difference_update_query(list(url.query)).render_as_string(hide_password=True)}"
    haste = Haste()
    try:
        engine = postgresql_engine(url, haste=haste)
    except ImportError as error:
        raise StoreUnreachable(
            f"{where.capitalize()} needs psycopg, which is not installed: pip install 'modelserve[postgres]'."
        ) from error
    with contextlib.ExitStack() as stack, _refusing(where):
        stack.callback(engine.dispose)
        _patiently(lambda: _upgrade_postgresql(engine, where), wait_s, lambda e: isinstance(e, OperationalError))
        _check_writable(engine)
        stack.pop_all()
    return Database(engine, where, haste)


def _upgrade_postgresql(engine: Engine, where: str) -> None:
    with engine.begin() as connection:
        if schema.version(connection) == schema.HEAD:
            return
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        with unhurried(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _bring_up(connection, where)


# Both


def _bring_up(connection: Connection, where: str) -> None:
    """Upgrade the tables under a lock; another server may have done it while this one waited."""
    found = schema.version(connection)
    _refuse_newer(found, where)
    if found != schema.HEAD:
        schema.bring_up(connection, found)


def _check_writable(engine: Engine) -> None:
    """Change nothing, in a transaction that is given up: neither database refuses before something is written."""
    try:
        with engine.connect() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            connection.rollback()
    except DBAPIError as error:
        if not is_locked(error):  # a lock passes, and the store is of use then
            raise


def _refuse_newer(found: str, where: str) -> None:
    if schema.is_newer(found):
        raise StoreNewer(
            f"The store of jobs, {where}, has version {found!r}, and this modelserve knows {schema.HEAD!r} at most: a"
            f" newer one, or another program, has written it. Upgrade modelserve; or {_ELSEWHERE}."
        )


@contextlib.contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turn what the database says into a sentence for the operator."""
    try:
        yield
    except ERRORS as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        if is_damaged(error):
            raise StoreBroken(
                f"The store of jobs, {where}, is damaged or no store of jobs: {said}. {_RESTORE}"
            ) from error
        raise StoreUnreachable(f"The store of jobs, {where}, cannot be used: {said}; {_ELSEWHERE}.") from error
