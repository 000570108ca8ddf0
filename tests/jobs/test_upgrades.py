"""A store that an older version has written is brought to this one's tables, and keeps what is in it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text

import modelserve
from modelserve.access.clients import Clients
from modelserve.jobs import schema
from modelserve.jobs.job import Operation, Status
from modelserve.jobs.store import Store
from modelserve.jobs.tables import metadata
from tests.jobs.store_contract import take

ENDED, RUNNING = "0" * 32, "1" * 32

JOB = """
INSERT INTO jobs (uuid, deployment, operation, status, created, started, message, metrics, step, points, output_bytes,
                  request_id, place, retries, attempts, owner, callback_url, fingerprint, args)
VALUES (:uuid, 'm', 'train', :status, 1, 2, '', '{"loss": 0.5}', 3, 0, 0,
        'r', '', 0, 1, 'o', 'https://h/', '', '{"x": 1}')
"""


OPEN = "import pathlib, sys; from modelserve.jobs.store import Store; Store.open('', pathlib.Path(sys.argv[1])).close()"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Return what gives the address of another empty database each time."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/{uuid4().hex}.db"
    postgres = request.getfixturevalue("postgres")
    return lambda: str(postgres.database())


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@contextlib.contextmanager
def migrated(url: str, version: str) -> Iterator[Connection]:
    """Make the tables by the migrations up to this version, and give the connection that did."""
    config, engine = Config(), create_engine(url)
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        yield connection
    engine.dispose()


def write_first_version(url: str) -> None:
    """Make a store as the first version did, with a job that has ended and one that runs."""
    with migrated(url, "0001") as connection:
        connection.execute(text(JOB), [{"uuid": ENDED, "status": "done"}, {"uuid": RUNNING, "status": "running"}])
        connection.execute(text("INSERT INTO requests SELECT id, :request FROM jobs"), {"request": b"r"})


def described(connection: Connection) -> dict[str, Any]:
    """Return all that the database says of each table, in no order, and the rows of those that are born with some."""
    tables = inspect(connection)
    said = {
        name: [
            sorted(map(str, what))
            for what in (
                tables.get_columns(name),
                tables.get_indexes(name),
                tables.get_unique_constraints(name),
                tables.get_foreign_keys(name),
                [tables.get_pk_constraint(name)],
            )
        ]
        for name in tables.get_table_names()
    }
    rows = [
        list(map(tuple, connection.execute(text(f"SELECT * FROM {name}"))))
        for name in ("generation", "alembic_version")
    ]
    return {**said, "rows": rows}


def test_the_migrations_make_what_an_empty_database_is_given(new_url: Callable[[], str], tmp_path: Path) -> None:
    with contextlib.closing(Store.open(new_url(), tmp_path)) as store, store.database.reading() as connection:
        given = described(connection)
    with migrated(new_url(), "head") as connection:
        assert described(connection) == given


def test_a_store_of_the_first_version_is_upgraded_with_all_its_jobs(url: str, tmp_path: Path) -> None:
    write_first_version(url)
    with contextlib.closing(Store.open(url, tmp_path)) as store:
        with store.database.reading() as connection:
            assert schema.version(connection) == schema.HEAD
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        running = store.get(RUNNING)
        assert (running.args, running.metrics, running.owner) == ({"x": 1}, {"loss": 0.5}, "o")
        assert store.request(running) == b"r"
        assert [job.uuid for job in store.list("m", Operation.TRAIN, limit=9).jobs] == [RUNNING, ENDED]
        assert [job.client for job in store.list("m", Operation.TRAIN, limit=9, client="").jobs] == ["", ""]
        assert store.deliveries.take(60.0) is None
        store.move(RUNNING, Status.DONE)
        delivery = store.deliveries.take(60.0)
        assert delivery
        assert delivery.job == store.get(RUNNING)
        assert take(store, "o", "m") is None


def test_an_upgrade_is_made_once_and_what_it_made_is_opened_again(url: str, tmp_path: Path) -> None:
    write_first_version(url)
    for _ in range(2):
        with contextlib.closing(Store.open(url, tmp_path)) as store:
            assert store.get(ENDED).status is Status.DONE


def test_an_upgrade_leaves_logging_as_it_is(tmp_path: Path) -> None:
    url, root = f"sqlite:///{tmp_path}/a.db", logging.getLogger()
    write_first_version(url)
    before = (root.level, list(root.handlers), root.disabled, logging.getLogger("modelserve").disabled)
    Store.open(url, tmp_path).close()
    assert (root.level, list(root.handlers), root.disabled, logging.getLogger("modelserve").disabled) == before


def test_a_percent_sign_in_the_place_of_the_migrations_means_nothing(tmp_path: Path) -> None:
    """Alembic reads it through configparser."""
    copied = tmp_path / "100%(here)s" / "modelserve"
    shutil.copytree(Path(modelserve.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    write_first_version(f"sqlite:///{tmp_path}/modelserve.db")
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(copied.parent)}, cwd=copied.parent)


def test_a_client_of_before_keeps_its_jobs_and_what_waits_is_counted(url: str, tmp_path: Path) -> None:
    """Y18, Y8: its id is its name, which its jobs have."""
    with migrated(url, "0004") as connection:
        connection.execute(text(JOB), [{"uuid": RUNNING, "status": "queued"}])
        connection.execute(text("INSERT INTO requests SELECT id, :request FROM jobs"), {"request": b"four"})
        connection.execute(text("INSERT INTO clients VALUES ('alice', 'client', '[]', 1)"))
        connection.execute(text("INSERT INTO tokens VALUES ('t', 'alice', :digest, 1, NULL)"), {"digest": bytes(32)})
    with contextlib.closing(Store.open(url, tmp_path)) as store:
        snapshot = Clients(store.database).snapshot()
        assert snapshot
        assert snapshot.entries["t"].client.id == "alice"
        with store.database.reading() as connection:
            assert connection.execute(text("SELECT request_bytes, ended FROM jobs")).one() == (4, None)
