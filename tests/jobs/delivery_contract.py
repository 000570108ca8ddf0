"""What every store of jobs does for callbacks, whatever database is behind it.

A class inherits the tests and adds one fixture, ``opened``, as those of store_contract.py do. The database may hold
callbacks of earlier tests: what a test takes it looks through for its own.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from modelserve.jobs.job import Delivery, Job, Status
from modelserve.jobs.store import Store
from tests.jobs.store_contract import a_job, an_owner, take
from tests.running import eventually

__all__ = ["DeliveryTests"]

# Longer than any test takes.
LEASE_S = 3600.0


def all_due(store: Store) -> list[Delivery]:
    """Take all that is due."""
    found: list[Delivery] = []
    while delivery := store.deliveries.take(LEASE_S):
        found.append(delivery)
    return found


class DeliveryTests:
    """The tests; ``opened`` comes from the class that inherits them."""

    @pytest.fixture
    def store(self, opened: Callable[[], Store]) -> Store:
        store = opened()
        all_due(store)
        return store

    @pytest.fixture
    def name(self) -> str:
        """Return the name of a deployment that no other test has."""
        return f"m-{uuid.uuid4().hex}"

    def begun(self, store: Store, name: str, owner: str = "", **fields: int) -> Job:
        """Return a job with a callback that runs."""
        store.add(a_job(name, callback_url="https://hooks.example.org/", **fields))
        job = take(store, owner or an_owner(), name)
        assert job
        return job

    def ended(self, store: Store, name: str) -> Job:
        """Return one that has ended."""
        job = store.move(self.begun(store, name).uuid, Status.DONE, output=b"[1]")
        assert job
        return job

    @pytest.mark.parametrize("status", [Status.DONE, Status.ERROR, Status.CANCELLED, Status.LOST])
    def test_a_job_that_ends_is_due_with_its_output(self, store: Store, name: str, status: Status) -> None:
        job = store.move(self.begun(store, name).uuid, status, output=b"[1]")
        assert job
        assert all_due(store) == [Delivery(job, 1)]
        assert job.output == [1]

    def test_what_is_due_for_a_receiver_that_is_busy_is_passed_over(self, store: Store, name: str) -> None:
        """H22: whatever its path is, and however the name is written; but not one that only begins so."""
        host = f"http://{name}:80"
        theirs = [host.upper().replace("HTTP", "http"), f"{host}/a", f"{host}?a", f"{host}#a"]
        others = [f"{host}80/a", f"https://{name}:80/a", f"http://x{name}:80/"]
        for url in (*theirs, *others):
            store.move(store.add(a_job(name, callback_url=url)).uuid, Status.CANCELLED)
        found = []
        while delivery := store.deliveries.take(LEASE_S, without=[host, "http://nobody"]):
            found.append(delivery.job.callback_url)
        assert found == others
        assert [delivery.job.callback_url for delivery in all_due(store)] == theirs

    def test_a_job_that_is_cancelled_before_it_runs_is_due(self, store: Store, name: str) -> None:
        job = store.add(a_job(name, callback_url="https://hooks.example.org/"))
        store.move(job.uuid, Status.CANCELLED)
        assert [delivery.job.uuid for delivery in all_due(store)] == [job.uuid]

    def test_a_job_that_runs_waits_or_has_no_callback_is_not(self, store: Store, name: str) -> None:
        store.move(self.begun(store, name).uuid, Status.QUEUED)
        self.begun(store, name)
        store.add(a_job(name, callback_url="https://hooks.example.org/"))
        store.move(store.add(a_job(name)).uuid, Status.CANCELLED)
        assert all_due(store) == []

    def test_a_job_whose_server_has_gone_is_due_once_it_is_lost(self, store: Store, name: str) -> None:
        """H01."""
        gone = an_owner()
        again, lost = self.begun(store, name, gone, retries=1), self.begun(store, name, gone)
        store.servers.reap(gone, is_sure=True)
        assert store.get(again.uuid).status is Status.QUEUED
        assert [delivery.job for delivery in all_due(store)] == [store.get(lost.uuid)]

    def test_the_oldest_is_taken_first(self, store: Store, name: str) -> None:
        uuids = [self.ended(store, name).uuid for _ in range(3)]
        assert [delivery.job.uuid for delivery in all_due(store)] == uuids

    def test_a_try_without_an_end_is_made_again_after_its_lease(self, store: Store, name: str) -> None:
        job = self.ended(store, name)
        first = store.deliveries.take(0.2)
        second = eventually(lambda: store.deliveries.take(LEASE_S))
        assert [first, second] == [Delivery(job, 1), Delivery(job, 2)]

    def test_what_is_postponed_is_due_after_the_pause(self, store: Store, name: str) -> None:
        job = self.ended(store, name)
        (delivery,) = all_due(store)
        begin = datetime.now(UTC)
        store.deliveries.postpone(delivery, 0.3)
        assert eventually(lambda: store.deliveries.take(LEASE_S)) == Delivery(job, 2)
        assert (datetime.now(UTC) - begin).total_seconds() > 0.25

    def test_what_is_over_is_due_no_more(self, store: Store, name: str) -> None:
        self.ended(store, name)
        delivery = store.deliveries.take(0.0)
        assert delivery
        store.deliveries.end(delivery, "delivered")
        assert all_due(store) == []

    def test_the_end_of_an_older_try_counts_for_nothing(self, store: Store, name: str) -> None:
        job = self.ended(store, name)
        old = store.deliveries.take(0.0)
        assert old
        new = store.deliveries.take(0.0)
        store.deliveries.end(old, "delivered")
        store.deliveries.postpone(old, LEASE_S)
        assert [new, store.deliveries.take(LEASE_S)] == [Delivery(job, 2), Delivery(job, 3)]

    def test_each_is_taken_by_one_server_only(self, store: Store, opened: Callable[[], Store], name: str) -> None:
        """H18."""
        uuids = [self.ended(store, name).uuid for _ in range(30)]
        with ThreadPoolExecutor(4) as threads:
            found = threads.map(all_due, [store, opened()] * 2)
        assert Counter(delivery.job.uuid for each in found for delivery in each) == Counter(uuids)

    def test_a_job_stays_while_its_callback_is_owed(self, store: Store, name: str) -> None:
        """Y2."""
        job = self.ended(store, name)
        assert job.uuid not in store.purge(-1.0, 0)
        delivery = store.deliveries.take(LEASE_S)
        assert delivery
        assert job.uuid not in store.purge(-1.0, 0)
        store.deliveries.end(delivery, "gone")
        assert job.uuid in store.purge(-1.0, 0)
