"""The store on a PostgreSQL that is cut off, that restarts, that others use, or that is not what it should be."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from modelserve.errors import StartError, StoreNewer, StoreUnavailable, StoreUnreachable
from modelserve.jobs.job import Operation, Status
from modelserve.jobs.opening import _LOCK
from modelserve.jobs.store import Store
from tests.jobs.store_contract import a_job, take
from tests.postgres import SECRET, Cluster
from tests.running import eventually

OPEN = (
    "import sys, pathlib; from modelserve.jobs.store import Store; Store.open(sys.argv[1], pathlib.Path('.')).close()"
)


@pytest.fixture(scope="module")
def url(postgres: Cluster) -> str:
    """Return the address of a database for all tests of this file that leave it as it is."""
    return postgres.database()


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store.open(url, tmp_path)) as store:
        yield store


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def refused(url: str, folder: Path, *, wait_s: float = 0.3) -> StartError:
    """Return the error of a start that must fail, which says what to do and shows no password."""
    with pytest.raises(StartError) as caught:
        Store.open(url, folder, wait_s=wait_s)
    assert caught.value.exit_code == 5
    assert SECRET not in caught.value.message
    assert "--database" in caught.value.message
    return caught.value


def setting(store: Store, name: str) -> tuple[str, str]:
    """Return what a connection of the store has a setting set to, and what has set it."""
    with store.database.writing() as connection:
        found = connection.exec_driver_sql("SELECT setting, source FROM pg_settings WHERE name = %s", (name,)).one()
        return found[0], found[1]


def test_a_commit_is_as_durable_as_the_operator_has_it(store: Store) -> None:
    """H19."""
    assert setting(store, "synchronous_commit") == ("on", "default")
    assert setting(store, "fsync") == ("on", "default")
    assert setting(store, "transaction_isolation")[0] == "read committed"


def test_no_statement_and_no_lock_takes_for_ever(store: Store) -> None:
    """H16."""
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    assert all(0 < int(setting(store, name)[0]) <= 30_000 for name in names)


def test_a_connection_that_was_cut_is_replaced_unnoticed(store: Store, postgres: Cluster) -> None:
    """H16."""
    job = store.add(a_job("m"))
    assert postgres.terminate_connections()
    assert store.get(job.uuid) == job
    assert postgres.terminate_connections()
    assert store.move(job.uuid, Status.CANCELLED)


def test_a_transaction_that_is_cut_leaves_nothing_and_the_next_one_works(store: Store, postgres: Cluster) -> None:
    """H16."""
    new = a_job("cut")

    def work() -> None:
        with store.database.writing() as connection:
            store._insert(connection, new, "")
            postgres.terminate_connections()
            store._insert(connection, a_job("cut"), "")

    with pytest.raises(StoreUnavailable) as caught:
        work()
    assert SECRET not in caught.value.log
    assert store.list("cut", Operation.TRAIN, limit=9).jobs == []
    assert store.add(new)


def test_while_it_is_down_the_store_refuses_at_once_and_works_again_after_a_crash(
    store: Store, postgres: Cluster
) -> None:
    """H16."""
    job = store.add(a_job("down"))
    postgres.crash()
    begin = time.monotonic()
    try:
        works: list[Callable[[], object]] = [
            lambda: store.get(job.uuid),
            lambda: store.add(a_job("down")),
            lambda: take(store, "o", "down"),
        ]
        for work in works:
            with pytest.raises(StoreUnavailable) as caught:
                work()
            assert "127.0.0.1" in caught.value.log
            assert SECRET not in caught.value.log
        assert time.monotonic() - begin < 10
    finally:
        postgres.start()
    assert store.list("down", Operation.TRAIN, limit=9).jobs == [job]
    assert take(store, "o", "down")


def test_servers_that_start_at_the_same_time_all_find_whole_tables(postgres: Cluster, tmp_path: Path) -> None:
    """H18: both have seen an empty database, and wait for the same lock; also where it shows them what they saw."""
    url = postgres.database()
    name = name_of(url)
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    with psycopg.connect(host=str(postgres.folder), port=postgres.port, user="modelserve", dbname=name) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        command = [sys.executable, "-c", OPEN, url]
        starts = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually(lambda: postgres.execute(waiting) == [(2,)], within_s=60)
    said = [start.communicate(timeout=60)[1] for start in starts]
    assert [(start.returncode, text) for start, text in zip(starts, said, strict=True)] == [(0, "")] * 2


def test_a_wrong_password_refuses_the_start_and_is_not_repeated(url: str, tmp_path: Path) -> None:
    """H17."""
    error = refused(url.replace("401@", "402@"), tmp_path)
    assert isinstance(error, StoreUnreachable)
    assert "password authentication failed" in error.message
    assert "modelserve:***@127.0.0.1" in error.message


@pytest.mark.parametrize("password", ["x@geheim", "x@geheim/y", "x@geheim:1", "@geheim"])
def test_a_password_that_would_be_read_as_the_host_refuses_the_start(password: str, tmp_path: Path) -> None:
    assert "%40" in refused(f"postgresql+psycopg://user:{password}@127.0.0.1/jobs", tmp_path).message


def test_a_database_that_is_not_there_refuses_the_start(url: str, tmp_path: Path) -> None:
    """H17."""
    assert "does not exist" in refused(f"{url}none", tmp_path).message


def test_tables_of_a_newer_version_are_left_as_they_are(postgres: Cluster, tmp_path: Path) -> None:
    """H15."""
    url = postgres.database()
    Store.open(url, tmp_path).close()
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", database=name_of(url))
    error = refused(url, tmp_path)
    assert isinstance(error, StoreNewer)
    assert "'9999'" in error.message
    assert postgres.execute("SELECT * FROM alembic_version", database=name_of(url)) == [("9999",)]


def test_the_tables_of_another_program_are_left_as_they_are(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.database("CREATE TABLE jobs (x int)")
    assert "already exists" in refused(url, tmp_path).message
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert postgres.execute(tables, database=name_of(url)) == [("jobs",)]


def test_who_may_not_make_tables_is_refused(postgres: Cluster, tmp_path: Path) -> None:
    """H14."""
    url = postgres.database("CREATE ROLE guest LOGIN PASSWORD 'geheim'")
    guest = url.replace("modelserve:geheim%401", "guest:geheim")
    assert "permission denied for schema public" in refused(guest, tmp_path).message


def test_a_database_that_may_only_be_read_refuses_the_start(postgres: Cluster, tmp_path: Path) -> None:
    """H14."""
    url = postgres.database()
    Store.open(url, tmp_path).close()
    postgres.execute(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    assert "read-only" in refused(url, tmp_path).message
