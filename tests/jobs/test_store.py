"""The store on SQLite does what every store does, also with ten thousand jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from modelserve.jobs.job import ENDED, Operation, Status
from modelserve.jobs.rows import as_row
from modelserve.jobs.store import Store
from modelserve.jobs.tables import Now, jobs
from tests.jobs.store_contract import StoreTests, a_job, take
from tests.jobs.store_races import StoreRaces


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Return what opens the store of this test once more."""
    stores: list[Store] = []

    def open() -> Store:
        stores.append(Store.open("", tmp_path / "data"))
        return stores[-1]

    yield open
    for store in stores:
        store.close()


class TestSqliteStore(StoreTests):
    """The store's promises, on SQLite."""


class TestSqliteRaces(StoreRaces):
    """The store's promises under races, on SQLite."""


def fill(store: Store, count: int, status: Status) -> None:
    """Store many jobs at once, each with a request and arguments of a usual size."""
    args = {"epochs": 10, "text": "x" * 500}
    rows = [as_row(a_job("m", args=args), "") | {"status": status, "message": "x" * 200} for _ in range(count)]
    with store.database.writing() as connection:
        connection.execute(insert(jobs).values(created=Now(), finished=Now()), rows)


@pytest.mark.parametrize("status", [Status.DONE, Status.QUEUED])
def test_ten_thousand_jobs_are_listed_taken_and_purged_quickly(opened: Callable[[], Store], status: Status) -> None:
    """H10: a page within 200 ms; three times that on a busy machine."""
    store = opened()
    fill(store, 10_000, status)
    for cursor in ("", store.list("m", Operation.TRAIN, limit=5000).cursor):
        begin = time.monotonic()
        page = store.list("m", Operation.TRAIN, limit=100, cursor=cursor)
        assert time.monotonic() - begin < 0.6
        assert len(page.jobs) == 100
    begin = time.monotonic()
    taken = take(store, "o", "m")
    assert time.monotonic() - begin < 0.6
    assert bool(taken) == (status is Status.QUEUED)
    assert len(store.purge(1000, 100)) == (9_900 if status in ENDED else 0)


def test_a_full_queue_of_one_deployment_does_not_slow_another(opened: Callable[[], Store]) -> None:
    store = opened()
    fill(store, 10_000, Status.QUEUED)
    last = store.add(a_job("other"))
    begin = time.monotonic()
    taken = store.take("o", {("m", Operation.TRAIN): 0, ("other", Operation.TRAIN): 1}, "")
    assert time.monotonic() - begin < 0.6
    assert taken
    assert taken.uuid == last.uuid


def test_what_was_stored_is_there_after_the_store_was_opened_again(tmp_path: Path) -> None:
    """H02."""
    first = Store.open("", tmp_path)
    job = first.add(a_job("m", args={"x": 1}))
    first.close()
    second = Store.open("", tmp_path)
    assert second.get(job.uuid) == job
    second.close()
