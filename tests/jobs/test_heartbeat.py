"""The heartbeat of a server: whom it takes for gone, and what it does with jobs that it does not know of."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from sqlalchemy import update

from modelserve.errors import StoreUnavailable
from modelserve.jobs.heartbeat import Heartbeat
from modelserve.jobs.job import Job, Operation, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.owners import Owner
from modelserve.jobs.pool import Pool
from modelserve.jobs.run import Ending, Run
from modelserve.jobs.servers import Servers
from modelserve.jobs.store import Store
from modelserve.jobs.tables import owners
from modelserve.jobs.thread import AsyncStore
from tests.jobs.store_contract import a_job

BEAT_S = 0.1
STALE_S = 0.8


class Events:
    """What a pool tells its events to, of which one end is never dealt with."""

    async def ended(self, job: Job, ending: Ending) -> Job | None:
        raise RuntimeError

    def gone(self, job: Job, recorded: Job | None) -> None: ...

    def freed(self) -> None: ...


def make(job: Job, slot: int) -> Run:
    raise OSError


class OutOfOrder(Servers):
    """Servers of which nothing can be heard or said while the store ``is_out``."""

    is_out = False

    def beat(self, owner: str, serves: str = "") -> dict[str, int]:
        if self.is_out:
            raise StoreUnavailable("It cannot be used.")
        return super().beat(owner, serves)


class Server(NamedTuple):
    """What beats, and what it beats for; ``others`` is where another server says that it lives."""

    store: AsyncStore
    owner: Owner
    pool: Pool
    heart: Heartbeat
    reaped: list[Job]
    servers: OutOfOrder
    others: Servers
    beats: list[float]

    async def taken(self, owner: str) -> Job:
        """Return a job that a server has taken."""
        await self.store.add(a_job("m"))
        job = await self.store.take(owner, {("m", Operation.TRAIN): 1}, "")
        assert job is not None
        return job

    async def status(self, job: Job) -> Status:
        """Return how a job stands now."""
        return (await self.store.get(job.uuid)).status

    async def has_beaten(self, times: int) -> None:
        """Wait for so many more heartbeats."""
        end = len(self.beats) + times
        await until(lambda: len(self.beats) >= end)


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    opened, reaped, beats = Store.open("", tmp_path), list[Job](), list[float]()
    store, servers = AsyncStore(opened), OutOfOrder(opened.database.apart())
    with Owner(tmp_path) as owner:
        pool = Pool(make, Events())
        heart = Heartbeat(
            servers,
            store,
            owner,
            pool,
            outage=Outage(),
            reaped=reaped.append,
            heard=lambda: beats.append(0.0),
            beat_s=BEAT_S,
            stale_s=STALE_S,
        )
        async with heart:
            yield Server(store, owner, pool, heart, reaped, servers, opened.servers, beats)
    await store.close()


async def test_a_server_that_is_not_heard_of_has_gone_once_we_have_listened_long_enough(server: Server) -> None:
    """H18."""
    job = await server.taken(uuid.uuid4().hex)
    await until(lambda: server.reaped)
    assert [(found.uuid, found.status) for found in server.reaped] == [(job.uuid, Status.LOST)]


async def test_a_server_that_beats_is_not_reaped_whatever_the_databases_clock_says(server: Server) -> None:
    """Y6."""
    other = uuid.uuid4().hex
    job = await server.taken(other)
    end = len(server.beats) + 5 * STALE_S / BEAT_S
    while len(server.beats) < end:
        server.others.beat(other)
        with server.others.apart()._database.writing() as connection:  # the clock goes back and forth
            connection.execute(update(owners).where(owners.c.id == other).values(beat=owners.c.beat - 86_400))
        await asyncio.sleep(BEAT_S)
    assert await server.status(job) is Status.RUNNING
    assert server.reaped == []


async def test_after_an_outage_others_get_the_time_to_be_heard_again(server: Server) -> None:
    """H16: nobody could write a heartbeat, so an old one says nothing."""
    other = uuid.uuid4().hex
    server.others.beat(other)
    job = await server.taken(other)
    await server.has_beaten(2)
    server.servers.is_out = True
    await asyncio.sleep(1.5 * STALE_S)
    server.servers.is_out = False
    await server.has_beaten(2)
    server.others.beat(other)
    await server.has_beaten(2)
    assert await server.status(job) is Status.RUNNING


async def test_whose_lock_is_free_has_gone_at_once(server: Server, tmp_path: Path) -> None:
    """H01."""
    gone = uuid.uuid4().hex
    (tmp_path / "servers" / f"{gone}.lock").touch()
    server.others.beat(gone)
    await server.taken(gone)
    await until(lambda: server.reaped)


async def test_it_beats_while_the_event_loop_does_nothing(server: Server) -> None:
    """Liveness does not depend on load: the thread waits for nothing that the server does."""
    await server.taken(server.owner.id)
    await until(lambda: server.others.others("")[server.owner.id].mark)
    before = server.others.others("")[server.owner.id].mark
    time.sleep(10 * BEAT_S)  # on the loop
    after = server.others.others("")[server.owner.id].mark
    assert before
    assert after
    assert after.beats - before.beats >= 3


async def test_a_job_that_was_taken_unknowingly_is_queued_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """H16, Y5: the database has taken it, and its answer was lost; that is no attempt."""
    job = await server.taken(server.owner.id)
    await until(lambda: "is queued again" in caplog.text)
    again = await server.store.get(job.uuid)
    assert (again.status, again.attempts) == (Status.QUEUED, 0)


async def test_a_job_that_is_on_its_way_from_the_store_to_the_pool_is_left_alone(server: Server) -> None:
    """Y3: its request may be large, and the way long."""
    server.heart.is_taking = True
    job = await server.taken(server.owner.id)
    await server.has_beaten(5)
    assert await server.status(job) is Status.RUNNING


async def test_a_job_whose_end_is_not_known_is_not_run_again(server: Server) -> None:
    server.heart.is_taking = True
    job = await server.taken(server.owner.id)
    server.pool.begin(job)
    server.heart.is_taking = False
    await server.has_beaten(5)
    assert await server.status(job) is Status.RUNNING
