"""What the store does while its SQLite file is locked, full or damaged: it refuses, and works again by itself."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from modelserve.errors import NoSpace, StoreUnavailable, Unavailable
from modelserve.jobs.database import BUSY_S, Database, postgresql_engine
from modelserve.jobs.job import Operation, Report, Status
from modelserve.jobs.store import Store
from tests.jobs.store_contract import a_job, take

# Holds the file's lock until its standard input is closed.
HOLDER = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store.open("", tmp_path)) as store:
        yield store


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have another process hold the lock of a SQLite file."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"locked\n"
        yield
        assert holder.stdin
        holder.stdin.close()


def pragma(store: Store, name: str) -> object:
    with store.database.reading() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_what_a_database_says_in_several_lines_is_one_line_of_the_log() -> None:
    url = make_url("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    database = Database(postgresql_engine(url), "a database")
    with contextlib.closing(database), pytest.raises(StoreUnavailable) as refused, database.reading():
        pass
    assert "refused Is the server running" in (refused.value.log or "")


def test_a_commit_is_durable(store: Store) -> None:
    """H19."""
    assert pragma(store, "synchronous") == 2
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "foreign_keys") == 1
    assert pragma(store, "busy_timeout") == BUSY_S * 1000


def test_a_locked_store_refuses_writers_after_a_while_and_lets_readers_in(store: Store, tmp_path: Path) -> None:
    """H11."""
    job = store.add(a_job("m"))
    with locked(tmp_path / "modelserve.db"):
        begin = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            store.add(a_job("m"))
        waited_s = time.monotonic() - begin
        assert store.get(job.uuid) == job
    assert BUSY_S - 1 < waited_s < BUSY_S + 10
    assert str(tmp_path / "modelserve.db") in caught.value.log
    assert "locked" in caught.value.log
    assert str(tmp_path) not in caught.value.message
    assert caught.value.retry_after_s == 2
    assert store.add(a_job("m"))


def test_a_lock_that_is_released_in_time_is_waited_for(store: Store, tmp_path: Path) -> None:
    """H11."""
    with sqlite3.connect(tmp_path / "modelserve.db", isolation_level=None, check_same_thread=False) as file:
        file.execute("BEGIN EXCLUSIVE")
        with delayed(file.rollback):
            assert store.add(a_job("m"))
    file.close()


@contextlib.contextmanager
def delayed(work: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(0.3, work)
    timer.start()
    yield
    timer.join()


def test_a_full_store_keeps_what_runs_and_writes_its_end_later(store: Store) -> None:
    """H12."""
    store.add(a_job("m", request=b"x" * 20_000))
    job = take(store, "o", "m")
    assert job
    pages = pragma(store, "page_count")
    assert pragma(store, f"max_page_count = {pages}") == pages
    refused: list[Unavailable] = []
    with pytest.raises(NoSpace) as caught:
        store.add(a_job("m", request=b"x" * 200_000))
    refused.append(caught.value)
    with pytest.raises(NoSpace) as caught:
        store.move(job.uuid, Status.DONE, output=b'"' + b"x" * 60_000 + b'"')
    refused.append(caught.value)
    with pytest.raises(NoSpace):
        store.report("o", [Report(job.uuid, metrics={"x" * 200: 1.0})] * 1000)
    assert all("full" in error.log and "modelserve.db" not in error.message for error in refused)
    assert store.get(job.uuid) == job
    pragma(store, "max_page_count = 100000")
    assert store.move(job.uuid, Status.DONE, output=b"1")


def test_a_store_that_is_damaged_while_it_is_used_refuses_and_says_where_it_is(store: Store, tmp_path: Path) -> None:
    """H13."""
    path = tmp_path / "modelserve.db"
    job = store.add(a_job("m"))
    with store.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.database.close()  # else its own memory of the pages would hide it
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    for work in (lambda: store.add(a_job("m")), lambda: store.get(job.uuid), lambda: store.servers.beat("o")):
        with pytest.raises(StoreUnavailable) as caught:
            work()
        assert "malformed" in caught.value.log
        assert str(path) in caught.value.log


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_store_whose_file_is_taken_away_refuses_instead_of_keeping_what_nobody_will_find(
    store: Store, tmp_path: Path, is_replaced: bool
) -> None:
    path = tmp_path / "modelserve.db"
    store.add(a_job("m"))
    path.rename(tmp_path / "elsewhere")
    if is_replaced:
        path.touch()
    for work in (lambda: store.add(a_job("m")), lambda: store.servers.beat("o"), lambda: store.queued()):
        with pytest.raises(StoreUnavailable) as caught:
            work()
        assert "removed or replaced" in caught.value.log
        assert str(path) in caught.value.log
    assert path.exists() == is_replaced
    (tmp_path / "elsewhere").rename(path)
    assert store.add(a_job("m"))


def test_a_store_whose_tables_are_gone_refuses(store: Store) -> None:
    with store.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE points")
        connection.exec_driver_sql("DROP TABLE requests")
    with pytest.raises(StoreUnavailable) as caught:
        store.add(a_job("m"))
    assert "no such table" in caught.value.log


def test_nothing_of_a_refused_change_is_kept(store: Store) -> None:
    before = store.list("m", Operation.TRAIN, limit=9)
    pragma(store, f"max_page_count = {pragma(store, 'page_count')}")
    with pytest.raises(NoSpace):
        store.add(a_job("m", request=b"x" * 1_000_000))
    assert store.list("m", Operation.TRAIN, limit=9) == before
