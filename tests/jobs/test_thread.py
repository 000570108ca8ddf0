"""The store on its thread: the loop goes on while the database does not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelserve.errors import NotFound, StoreUnavailable
from modelserve.jobs.database import BUSY_S
from modelserve.jobs.job import Operation, Report, Status
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore
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
    assert await store.beat("o") == {job.uuid}
    await store.report("o", [Report(job.uuid, 0.5, {"x": 1.0})])
    assert [point.metrics for point in await store.history(job.uuid)] == [{"x": 1.0}]
    assert await store.reap("o", stale_s=0.0, is_dead=lambda owner: None) == []
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


async def test_all_is_done_on_one_thread_of_its_own(store: AsyncStore) -> None:
    seen: set[str] = set()

    def is_dead(owner: str) -> bool:
        seen.add(threading.current_thread().name)
        return False

    await store.add(a_job("m"))
    await store.take(uuid.uuid4().hex, {("m", TRAIN): 1}, "")
    await asyncio.gather(*(store.reap("o", stale_s=0.0, is_dead=is_dead) for _ in range(5)))
    assert len(seen) == 1
    assert seen.pop().startswith("modelserve-store")


async def test_a_call_that_is_cancelled_while_it_waits_is_not_run(store: AsyncStore) -> None:
    began, go_on = threading.Event(), threading.Event()

    def is_dead(owner: str) -> bool:
        began.set()
        return not go_on.wait(30)

    await store.add(a_job("m"))
    await store.take("other", {("m", TRAIN): 1}, "")
    busy = asyncio.ensure_future(store.reap("o", stale_s=0.0, is_dead=is_dead))
    await asyncio.to_thread(began.wait, 30)
    adding = asyncio.ensure_future(store.add(a_job("cancelled")))
    await asyncio.sleep(0)
    adding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await adding
    go_on.set()
    await busy
    assert (await store.list("cancelled", TRAIN, limit=5)).jobs == []


async def test_what_waits_is_finished_before_the_end(tmp_path: Path) -> None:
    store = AsyncStore(Store.open("", tmp_path))
    adding = [asyncio.ensure_future(store.add(a_job("m"))) for _ in range(5)]
    await asyncio.sleep(0)
    await store.close()
    assert len({job.uuid for job in await asyncio.gather(*adding)}) == 5
    assert not any(thread.name.startswith("modelserve-store") for thread in threading.enumerate())
