"""The store on its thread: the loop goes on while the database does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelserve.errors import NotFound, StoreUnavailable
from modelserve.jobs.database import BUSY_S, Database
from modelserve.jobs.job import Job, Operation, Report, Status
from modelserve.jobs.store import Store
from modelserve.jobs.thread import TURN_S, AsyncStore
from tests.jobs.store_contract import a_job
from tests.jobs.test_database import locked

TRAIN = Operation.TRAIN


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AsyncStore]:
    store = AsyncStore(Store.open("", tmp_path))
    yield store
    await store.close()


async def test_a_job_goes_its_way_as_in_the_store(store: AsyncStore) -> None:
    job = await store.add(a_job("m"), key="k")
    assert await store.get(job.uuid, deployment="m", operation=TRAIN) == job
    assert [found.uuid for found in (await store.list("m", TRAIN, limit=5)).jobs] == [job.uuid]
    assert await store.queued() == {("m", TRAIN): 1}
    taken = await store.take("o", {("m", TRAIN): 1}, "")
    assert taken
    assert await store.request(taken) == b""
    await store.report("o", [Report(job.uuid, 0.5, {"x": 1.0})])
    assert [point.metrics for point in await store.history(job.uuid)] == [{"x": 1.0}]
    moved = await store.move(job.uuid, Status.DONE, owner="o", message="fine", output=b"[1]", output_bytes=3)
    assert moved
    assert (moved.status, moved.message, moved.output, moved.output_bytes) == (Status.DONE, "fine", [1], 3)
    assert await store.purge(-1.0, 10) == [job.uuid]
    with pytest.raises(NotFound):
        await store.get(job.uuid)


async def test_the_loop_goes_on_while_the_database_is_locked(store: AsyncStore, tmp_path: Path) -> None:
    """H11."""
    with locked(tmp_path / "modelserve.db"):
        adding = asyncio.ensure_future(store.add(a_job("m")))
        begin = time.monotonic()
        while not adding.done():
            await asyncio.sleep(0.01)
            assert time.monotonic() - begin < BUSY_S + 10
        with pytest.raises(StoreUnavailable):
            adding.result()
    assert await store.add(a_job("m"))


async def test_not_every_request_waits_for_all_before_it(store: AsyncStore, tmp_path: Path) -> None:
    """H11: twenty requests at a locked store are refused in the time of two."""
    with locked(tmp_path / "modelserve.db"):
        begin = time.monotonic()
        refused = await asyncio.gather(*(store.add(a_job("m")) for _ in range(20)), return_exceptions=True)
        assert time.monotonic() - begin < 3 * BUSY_S + 5
        assert all(isinstance(error, StoreUnavailable) for error in refused)
    assert await store.add(a_job("m"))


class Slow(Store):
    """A store whose reads take until they may end, and note that they have begun."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.began, self.go_on = threading.Semaphore(0), threading.Event()

    def get(self, uuid: str, **wanted: Any) -> Job:
        self.began.release()
        assert self.go_on.wait(60)
        return super().get(uuid, **wanted)


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Slow, AsyncStore]]:
    opened = Slow.open("", tmp_path)
    store = AsyncStore(opened)
    yield opened, store
    opened.go_on.set()
    await store.close()


async def test_the_end_of_a_job_waits_for_nobody_who_reads(slow: tuple[Slow, AsyncStore]) -> None:
    """Y3."""
    opened, store = slow
    job = await store.add(a_job("m"))
    reads = [asyncio.ensure_future(store.get(job.uuid)) for _ in range(10)]
    await asyncio.to_thread(opened.began.acquire)
    taken = await store.take("o", {("m", TRAIN): 1}, "")
    assert taken
    assert await store.request(taken) == b""
    await store.report("o", [Report(job.uuid, 0.5)])
    assert await store.move(job.uuid, Status.DONE, owner="o")
    assert not any(read.done() for read in reads)
    opened.go_on.set()
    assert {read.status for read in await asyncio.gather(*reads)} == {Status.DONE}


async def test_whose_turn_does_not_come_is_refused_at_once(slow: tuple[Slow, AsyncStore]) -> None:
    """Y3: and not only when those before it have ended."""
    opened, store = slow
    job = await store.add(a_job("m"))
    first = asyncio.ensure_future(store.get(job.uuid))
    await asyncio.to_thread(opened.began.acquire)
    async with asyncio.timeout(4 * TURN_S):
        with pytest.raises(StoreUnavailable, match="too busy"):
            await store.get(job.uuid)
    opened.go_on.set()
    assert await first == job


async def test_a_call_that_is_cancelled_while_it_waits_is_not_run(slow: tuple[Slow, AsyncStore]) -> None:
    opened, store = slow
    job = await store.add(a_job("m"))
    first, second = (asyncio.ensure_future(store.get(job.uuid)) for _ in range(2))
    await asyncio.to_thread(opened.began.acquire)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    opened.go_on.set()
    await first
    await store.queued()
    assert not opened.began.acquire(blocking=False)


async def test_what_waits_is_finished_before_the_end(tmp_path: Path) -> None:
    store = AsyncStore(Store.open("", tmp_path))
    adding = [asyncio.ensure_future(store.add(a_job("m"))) for _ in range(5)]
    await asyncio.sleep(0)
    await store.close()
    assert len({job.uuid for job in await asyncio.gather(*adding)}) == 5
    assert not any(thread.name.startswith("modelserve-store") for thread in threading.enumerate())
