"""Those who follow a job are told of each change, whoever makes it, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest_asyncio

from modelserve.jobs.followers import Followers
from modelserve.jobs.job import Job, NewJob, Operation, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore

OWNER = "a" * 32
KIND = ("m", Operation.TRAIN)
WITHIN_S = 30


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[AsyncStore]:
    """A real store."""
    store = AsyncStore(Store.open("", tmp_path))
    yield store
    await store.close()


@pytest_asyncio.fixture
async def job(store: AsyncStore) -> Job:
    """A queued job."""
    return await store.add(NewJob(uuid4().hex, *KIND))


async def statuses(followers: Followers, job: Job) -> list[Status]:
    """Follow a job to the end and return what it was."""
    async with asyncio.timeout(WITHIN_S), contextlib.aclosing(followers.follow(job)) as changes:
        return [job.status async for job in changes]


async def test_changes_by_another_server_are_seen_by_every_follower(store: AsyncStore, job: Job) -> None:
    followers = Followers(store, Outage())
    following = [asyncio.create_task(statuses(followers, job)) for _ in range(3)]
    await asyncio.sleep(0)
    await store.take(OWNER, {KIND: 1}, "")
    await store.move(job.uuid, Status.DONE, output=b"1")
    for seen in await asyncio.gather(*following):
        assert (seen[0], seen[-1]) == (Status.QUEUED, Status.DONE)


async def test_one_who_follows_an_ended_job_gets_it_once(store: AsyncStore, job: Job) -> None:
    ended = await store.move(job.uuid, Status.CANCELLED)
    assert ended is not None
    assert await statuses(Followers(store, Outage()), ended) == [Status.CANCELLED]


async def test_what_was_given_may_be_old(store: AsyncStore, job: Job) -> None:
    await store.move(job.uuid, Status.CANCELLED)
    assert await statuses(Followers(store, Outage()), job) == [Status.QUEUED, Status.CANCELLED]


async def test_a_job_that_is_removed_ends_the_following(store: AsyncStore, job: Job) -> None:
    followers = Followers(store, Outage())
    following = asyncio.create_task(statuses(followers, job))
    await asyncio.sleep(0)
    await store.move(job.uuid, Status.CANCELLED)
    await store.purge(0.0, 0)
    assert (await following)[0] is Status.QUEUED


async def test_a_server_that_stops_tells_how_the_job_stands(store: AsyncStore, job: Job) -> None:
    followers = Followers(store, Outage())
    changes = followers.follow(job)
    assert (await anext(changes)).status is Status.QUEUED
    await store.take(OWNER, {KIND: 1}, "")
    await followers.close()
    assert [job.status async for job in changes] == [Status.RUNNING]


async def test_a_follower_that_leaves_leaves_nothing(store: AsyncStore, job: Job) -> None:
    before, followers = asyncio.all_tasks(), Followers(store, Outage())
    async with contextlib.aclosing(followers.follow(job)) as changes:
        await anext(changes)
        assert asyncio.all_tasks() != before
    assert asyncio.all_tasks() == before
