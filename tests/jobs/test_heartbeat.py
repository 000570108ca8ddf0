"""The heartbeat of a server: whom it takes for gone, and what it does with jobs that it does not know of."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from modelserve.errors import StoreUnavailable
from modelserve.jobs.heartbeat import Heartbeat
from modelserve.jobs.job import Job, Operation, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.owners import Owner
from modelserve.jobs.pool import Pool
from modelserve.jobs.run import Ending, Run
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore
from tests.jobs.store_contract import a_job

STALE_S = 0.4


class Events:
    """What a pool tells its events to, of which one end is never dealt with."""

    async def ended(self, job: Job, ending: Ending) -> Job | None:
        raise RuntimeError

    def gone(self, job: Job, recorded: Job | None) -> None: ...

    def freed(self) -> None: ...


def make(job: Job, slot: int) -> Run:
    raise OSError


class OutOfOrder(AsyncStore):
    """A store that refuses heartbeats while it ``is_out``."""

    is_out = False

    async def beat(self, owner: str) -> frozenset[str]:
        if self.is_out:
            raise StoreUnavailable("It cannot be used.")
        return await super().beat(owner)


class Server(NamedTuple):
    """What beats, and what it beats for."""

    store: OutOfOrder
    owner: Owner
    pool: Pool
    heart: Heartbeat
    reaped: list[Job]

    async def taken(self, owner: str) -> Job:
        """Return a job that a server has taken."""
        await self.store.add(a_job("m"))
        job = await self.store.take(owner, {("m", Operation.TRAIN): 1}, "")
        assert job is not None
        return job


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    store, reaped = OutOfOrder(Store.open("", tmp_path)), list[Job]()
    with Owner(tmp_path) as owner:
        pool = Pool(make, Events())
        heart = Heartbeat(store, owner, pool, outage=Outage(), reaped=reaped.append)
        heart.stale_s = STALE_S
        yield Server(store, owner, pool, heart, reaped)
    await store.close()


async def beat(server: Server, for_s: float) -> None:
    """Beat as often as a server does in this time."""
    for _ in range(8):
        with contextlib.suppress(StoreUnavailable):
            await server.heart.beat()
        await asyncio.sleep(for_s / 8)


async def test_a_server_that_is_not_heard_of_has_gone_once_we_have_listened_long_enough(server: Server) -> None:
    """H18."""
    job = await server.taken(uuid.uuid4().hex)
    await server.heart.beat()
    assert server.reaped == []
    async with asyncio.timeout(30):
        while not server.reaped:
            await beat(server, STALE_S)
    assert [(found.uuid, found.status) for found in server.reaped] == [(job.uuid, Status.LOST)]


async def test_after_an_outage_others_get_the_time_to_be_heard_again(server: Server) -> None:
    """H16: nobody could write a heartbeat, so an old one says nothing."""
    other = uuid.uuid4().hex
    await beat(server, 1.5 * STALE_S)
    await server.store.beat(other)
    job = await server.taken(other)
    server.store.is_out = True
    await beat(server, 1.5 * STALE_S)
    server.store.is_out = False
    await server.heart.beat()
    assert server.reaped == []
    await server.store.beat(other)
    await server.heart.beat()
    assert (await server.store.get(job.uuid)).status is Status.RUNNING


async def test_whose_lock_is_free_has_gone_at_once(server: Server, tmp_path: Path) -> None:
    """H01."""
    gone = uuid.uuid4().hex
    await server.taken(gone)
    (tmp_path / "servers" / f"{gone}.lock").touch()
    await server.heart.beat()
    assert len(server.reaped) == 1


async def test_a_job_that_was_taken_unknowingly_is_queued_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """H16: the database has taken it, and its answer was lost."""
    job = await server.taken(server.owner.id)
    await server.heart.beat()
    assert (await server.store.get(job.uuid)).status is Status.RUNNING, "it may be on its way"
    await server.heart.beat()
    assert (await server.store.get(job.uuid)).status is Status.QUEUED
    assert "is queued again" in caplog.text


async def test_a_job_whose_end_is_not_known_is_not_run_again(server: Server) -> None:
    job = await server.taken(server.owner.id)
    server.pool.begin(job)
    for _ in range(3):
        await server.heart.beat()
    assert (await server.store.get(job.uuid)).status is Status.RUNNING
