"""What every store of jobs does when several ask for the same thing at the same time."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from modelserve.jobs.job import ENDED, MOVES, Job, Report, Status
from modelserve.jobs.store import Store
from tests.jobs.store_contract import TRAIN, a_job, an_owner, take

__all__ = ["StoreRaces"]

T = TypeVar("T")

TAKEN = 60


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Begin all of them at the same moment, each in a thread of its own, and return what they return."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        barrier.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))


class StoreRaces:
    """The tests; ``opened`` comes from the class that inherits them."""

    # How often a cancel races with an end, and how many orders of moves are tried.
    rounds = 200
    orders = 20

    @pytest.mark.timeout(240)
    def test_of_a_cancel_and_an_end_exactly_one_wins(self, opened: Callable[[], Store]) -> None:
        """H07."""
        name, owner, one, two = uuid.uuid4().hex, an_owner(), opened(), opened()
        won: Counter[Status] = Counter()
        for _ in range(self.rounds):
            job = one.add(a_job(name))
            take(one, owner, name)
            cancel = partial(two.move, job.uuid, Status.CANCELLED)
            end = partial(one.move, job.uuid, Status.DONE, owner=owner, output=b"1")
            (winner,) = [moved for moved in at_once([cancel, end, cancel]) if moved]
            assert one.get(job.uuid) == winner
            won[winner.status] += 1
        assert won.total() == self.rounds
        assert set(won) <= {Status.CANCELLED, Status.DONE}

    def test_each_job_is_taken_by_one_server_only(self, opened: Callable[[], Store]) -> None:
        """H18."""
        name, stores = uuid.uuid4().hex, [opened(), opened()]
        uuids = {stores[0].add(a_job(name)).uuid for _ in range(TAKEN)}
        works = [partial(take_all, store, an_owner(), name) for store in stores * 2]
        taken = [job for found in at_once(works) for job in found]
        assert len(taken) == TAKEN
        assert {job.uuid for job in taken} == uuids
        assert all(job.attempts == 1 for job in taken)

    def test_one_key_at_the_same_time_is_one_job(self, opened: Callable[[], Store]) -> None:
        """H20."""
        name, stores = uuid.uuid4().hex, [opened(), opened()]
        for round in range(20):
            works = [partial(store.add, a_job(name), key=f"k{round}") for store in stores * 3]
            assert len({job.uuid for job in at_once(works)}) == 1
        assert len(stores[0].list(name, TRAIN, limit=100).jobs) == 20

    def test_a_job_is_reaped_once(self, opened: Callable[[], Store]) -> None:
        """H18."""
        name, owner, stores = uuid.uuid4().hex, an_owner(), [opened(), opened()]
        for _ in range(10):
            stores[0].add(a_job(name, retries=1))
            take(stores[0], owner, name)
        works = [partial(store.servers.reap, owner, is_sure=True) for store in stores * 2]
        reaped = [job for found in at_once(works) for job in found]
        assert len(reaped) == 10
        assert {job.status for job in reaped} == {Status.QUEUED}

    def test_what_was_purged_is_told_to_one_server_only(self, opened: Callable[[], Store]) -> None:
        """H10."""
        name, stores = uuid.uuid4().hex, [opened(), opened()]
        uuids = [stores[0].add(a_job(name)).uuid for _ in range(20)]
        for one in uuids:
            stores[0].move(one, Status.CANCELLED)
        works = [partial(store.purge, 1000.0, 0) for store in stores * 2]
        purged = Counter(one for found in at_once(works) for one in found)
        assert set(uuids) <= set(purged)
        assert set(purged.values()) == {1}

    def test_reports_and_a_reaping_of_the_same_jobs_wait_for_each_other(self, opened: Callable[[], Store]) -> None:
        """H18: the jobs are locked in one order, so that neither is refused."""
        name, owner, stores = uuid.uuid4().hex, an_owner(), [opened(), opened()]
        for _ in range(self.rounds // 10):
            uuids = [stores[0].add(a_job(name, retries=100)).uuid for _ in range(5)]
            assert all(take(stores[0], owner, name) for _ in uuids)
            told = [Report(one, metrics={"x": 1.0}) for one in uuids]
            works: list[Callable[[], object]] = [
                partial(stores[0].report, owner, told),
                partial(stores[1].servers.reap, owner, is_sure=True),
            ]
            at_once(works)
            for one in uuids:
                assert stores[0].move(one, Status.CANCELLED)

    def test_reports_and_moves_at_the_same_time_lose_nothing(self, opened: Callable[[], Store]) -> None:
        name, owner, stores = uuid.uuid4().hex, an_owner(), [opened(), opened()]
        uuids = [stores[0].add(a_job(name)).uuid for _ in range(4)]
        assert all(take(stores[0], owner, name) for _ in uuids)

        def report(store: Store) -> None:
            for _ in range(10):
                store.report(owner, [Report(uuid, metrics={"x": 1.0}) for uuid in uuids])

        at_once([partial(report, store) for store in stores * 2])
        assert [len(stores[0].history(uuid)) for uuid in uuids] == [40] * 4

    @pytest.mark.timeout(240)
    def test_no_order_of_moves_leads_where_none_may(self, opened: Callable[[], Store]) -> None:
        store = opened()

        class OfThisStore(Moves):
            def __init__(self) -> None:
                super().__init__(store)

        settings = hypothesis.settings(max_examples=self.orders, stateful_step_count=25, deadline=None, database=None)
        run_state_machine_as_test(OfThisStore, settings=settings)


def take_all(store: Store, owner: str, name: str) -> list[Job]:
    """Take jobs until there is none; another may hold the last ones for a moment, and then it is for that one."""
    taken = []
    while job := take(store, owner, name):
        taken.append(job)
    return taken


class Moves(RuleBasedStateMachine):
    """Does with jobs what servers and clients may do, in any order, and knows how each must stand."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.name = uuid.uuid4().hex
        self.owners = [an_owner(), an_owner()]
        self.expected: dict[str, Status] = {}
        self.runs_on: dict[str, str] = {}

    def pick(self, data: Any) -> str:
        return str(data.draw(st.sampled_from(sorted(self.expected)))) if self.expected else uuid.uuid4().hex

    @rule()
    def add(self) -> None:
        self.expected[self.store.add(a_job(self.name, retries=1)).uuid] = Status.QUEUED

    @rule(who=st.integers(0, 1))
    def take(self, who: int) -> None:
        job = take(self.store, self.owners[who], self.name)
        assert (job is not None) == (Status.QUEUED in self.expected.values())
        if job:
            assert self.expected[job.uuid] is Status.QUEUED
            self.expected[job.uuid], self.runs_on[job.uuid] = Status.RUNNING, self.owners[who]

    @rule(data=st.data(), to=st.sampled_from([*sorted(ENDED), Status.QUEUED]), who=st.sampled_from([None, 0, 1]))
    def move(self, data: Any, to: Status, who: int | None) -> None:
        uuid = self.pick(data)
        owner = None if who is None else self.owners[who]
        before = self.expected.get(uuid)
        allowed = before is not None and to in MOVES[before]
        mine = owner is None or (before is Status.RUNNING and self.runs_on[uuid] == owner)
        moved = self.store.move(uuid, to, owner=owner)
        assert (moved is not None) == (allowed and mine)
        if moved:
            self.expected[uuid] = to

    @rule(data=st.data(), who=st.integers(0, 1))
    def report(self, data: Any, who: int) -> None:
        self.store.report(self.owners[who], [Report(self.pick(data), 0.5, {"x": 1.0})])

    @rule(who=st.integers(0, 1))
    def reap(self, who: int) -> None:
        gone = self.owners[who]
        for job in self.store.servers.reap(gone, is_sure=True):
            assert self.expected[job.uuid] is Status.RUNNING
            assert self.runs_on[job.uuid] == gone
            assert job.status is (Status.QUEUED if job.attempts <= 1 else Status.LOST)
            self.expected[job.uuid] = job.status

    @invariant()
    def each_job_stands_as_expected(self) -> None:
        jobs = self.store.list(self.name, TRAIN, limit=100).jobs
        assert {job.uuid: job.status for job in jobs} == self.expected
        assert all(bool(job.finished) == (job.status in ENDED) for job in jobs)
        for who in self.owners:
            running = {uuid for uuid, status in self.expected.items() if status is Status.RUNNING}
            assert set(self.store.servers.beat(who)) == {uuid for uuid in running if self.runs_on[uuid] == who}
