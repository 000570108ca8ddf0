"""A store that an older version has written is brought to this one's tables, and keeps what is in it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/modelserve.db"
    return str(request.getfixturevalue("postgres").database())


def write_first_version(url: str) -> None:
    """Make a store as the first version did, with a job that has ended and one that runs."""
    config, engine = Config(), create_engine(url)
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(JOB), [{"uuid": ENDED, "status": "done"}, {"uuid": RUNNING, "status": "running"}])
        connection.execute(text("INSERT INTO requests SELECT id, :request FROM jobs"), {"request": b"r"})
    engine.dispose()


def test_a_store_of_the_first_version_is_upgraded_with_all_its_jobs(url: str, tmp_path: Path) -> None:
    write_first_version(url)
    with contextlib.closing(Store.open(url, tmp_path)) as store:
        with store.database.reading() as connection:
            assert schema.version(connection) == schema.HEAD
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        running = store.get(RUNNING)
        assert (running.args, running.metrics, running.owner, running.request) == ({"x": 1}, {"loss": 0.5}, "o", b"r")
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
