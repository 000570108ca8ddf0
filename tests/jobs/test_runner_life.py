"""The runner of jobs when servers stop or die, when the store is out of order, and what it cleans up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import uvloop

from modelserve.errors import Stopping
from modelserve.jobs.job import Job, Operation, Status
from modelserve.jobs.tidying import DAY_S, MIN_KEPT_S, ORPHAN_S, Tidying
from modelserve.settings import Settings
from tests.jobs.conftest import Open
from tests.jobs.house import END_S, House, opened, restarted
from tests.running import is_gone
from tests.runtime.workers import until

# A server is heard of every five seconds.
BEAT_S = 30.0


@contextlib.contextmanager
def locked(house: House) -> Iterator[None]:
    """Lock the database as another program would."""
    with contextlib.closing(sqlite3.connect(house.data / "modelserve.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_when_the_server_stops_a_training_that_heeds_it_is_lost(open_house: Open) -> None:
    """G04."""
    house = await open_house(train_cancel_s=60)
    job = await house.train("heed", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    await house.runner.drain(60)
    job = await house.now(job)
    assert (job.status, job.message) == (Status.LOST, "The server was stopped.")
    with pytest.raises(Stopping):
        await house.train("ok")


async def test_when_the_server_stops_a_training_that_does_not_heed_it_is_ended(house: House) -> None:
    """G04."""
    job = await house.train("sleep", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    process = house.process_of(job)
    assert process is not None
    await house.runner.drain(60)
    assert is_gone(process)
    assert (await house.now(job)).status is Status.LOST


def test_a_training_that_has_not_begun_is_asked_to_end_twice(models: Path, tmp_path: Path) -> None:
    """H07: on the server's loop, which makes no timer of a time that has come already."""

    async def story() -> None:
        async with opened(tmp_path, Settings()) as house:
            job = await house.train("ok")
            await until(house.runner.running)
            await house.runner.cancel(house.name, Operation.TRAIN, job.uuid)
            await house.runner.drain(60)
            assert (await house.now(job)).status is Status.CANCELLED

    uvloop.run(story())


async def test_when_the_server_stops_a_training_may_still_be_done(open_house: Open) -> None:
    """G04."""
    house = await open_house(train_cancel_s=60)
    job = await house.train("sleep", n=1)
    await until(lambda: house.events("train"), within_s=END_S)
    await house.runner.drain(60)
    assert (await house.now(job)).status is Status.DONE


async def test_a_training_that_is_taken_while_the_server_stops_is_not_begun(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y32."""
    house = await open_house()
    store, taken, gate = house.runner.store, asyncio.Event(), asyncio.Event()
    take = store.take

    async def take_slowly(*arguments: Any, **named: Any) -> Job | None:
        job = await take(*arguments, **named)
        if job is not None:
            taken.set()
            await gate.wait()
        return job

    monkeypatch.setattr(store, "take", take_slowly)
    job = await house.train("ok")
    await taken.wait()
    draining = asyncio.create_task(house.runner.drain(5))
    await asyncio.sleep(0)
    gate.set()
    await draining
    assert (await house.now(job)).status is Status.QUEUED
    assert not house.events("train")


async def test_when_the_server_stops_a_training_is_queued_again_where_it_may_be(open_house: Open) -> None:
    """G04, H21."""
    house = await open_house(train_retries=1)
    running, queued = await house.train("heed", n=300), await house.train("ok")
    await until(lambda: house.events("train"), within_s=END_S)
    await house.runner.drain(60)
    assert [(await house.now(job)).status for job in (running, queued)] == [Status.QUEUED, Status.QUEUED]
    again = await house.runner.store.take("another", {(house.name, Operation.TRAIN): 1}, house.runner.files.place)
    assert again
    assert (again.uuid, again.attempts) == (running.uuid, 2)
    assert await house.runner.store.request(again), "it can be run again"


async def test_the_jobs_of_a_server_that_has_gone_are_lost_or_run_again(open_house: Open) -> None:
    """H01."""
    house = await open_house(train_workers=2, train_retries=1)
    await house.runner.drain(0)
    gone, store = uuid4().hex, house.runner.store
    again, lost = house.new(Operation.TRAIN, "ok", text="again"), house.new(Operation.TRAIN, "ok", text="lost")
    for new in (again, msgspec.structs.replace(lost, retries=0)):
        await store.add(new)
        await store.take(gone, {(house.name, Operation.TRAIN): 1}, house.runner.files.place)
    (house.data / "servers" / f"{gone}.lock").touch()  # which nobody holds
    async with restarted(house) as other:
        ended = await other.end_of(await other.runner.store.get(again.uuid))
        assert (ended.status, ended.attempts) == (Status.DONE, 2)
        assert (await other.runner.store.get(lost.uuid)).status is Status.LOST
    assert [line["text"] for line in house.events("train")] == ["again"]


async def test_a_training_that_was_cancelled_elsewhere_is_ended(house: House) -> None:
    """H18."""
    job = await house.train("sleep", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    process = house.process_of(job)
    assert process is not None
    assert await house.runner.store.move(job.uuid, Status.CANCELLED)
    await until(lambda: is_gone(process), within_s=BEAT_S)
    assert (await house.end_of(await house.train("ok"))).status is Status.DONE


async def test_a_store_that_is_locked_ends_no_training_and_its_end_is_written_later(house: House) -> None:
    """H11, H12."""
    job = await house.train("steps", n=10)
    await until(lambda: house.events("train"), within_s=END_S)
    with locked(house):
        await until(lambda: house.events("trained"), within_s=END_S)
        await until(lambda: not house.runner.running(), within_s=END_S)
    assert (await house.end_of(job)).status is Status.DONE


async def test_an_end_that_cannot_be_written_is_told_and_does_not_keep_the_server(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    job = await house.train("heed", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    with locked(house):
        await asyncio.wait_for(house.runner.drain(1), END_S)
    assert "how a job ended could not be written down" in caplog.text
    assert job.uuid in [getattr(record, "job", "") for record in caplog.records]


async def test_the_workers_are_replaced_after_a_training_where_that_is_wanted(open_house: Open) -> None:
    house = await open_house(reload_after_train=True)
    deployment = house.fleet.find(house.name)
    before = set(deployment.workers.values())
    await house.end_of(await house.train("raise"))
    assert set(deployment.workers.values()) == before
    await house.end_of(await house.train("ok"))
    await until(lambda: deployment.workers and not before & set(deployment.workers.values()), within_s=END_S)


async def test_a_reload_that_fails_leaves_the_job_done(open_house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house(reload_after_train=True)
    deployment = house.fleet.find(house.name)
    before = dict(deployment.workers)
    monkeypatch.setenv("CHAOS_WARM", "raise")
    job = await house.end_of(await house.train("ok"))
    await until(lambda: deployment.last_reload, within_s=END_S)
    assert deployment.last_reload is not None
    assert not deployment.last_reload.ok
    assert (await house.now(job)).status is Status.DONE
    assert deployment.workers == before


async def test_old_jobs_and_files_without_a_job_are_removed_at_start(open_house: Open) -> None:
    house = await open_house()
    files = house.runner.files
    jobs = [await house.end_of(await house.train("ok")) for _ in range(2)]
    old, young, ended = uuid4().hex, uuid4().hex, jobs[1].uuid
    for uuid in (old, young, ended):
        files.make(uuid)
        files.uploads(uuid).mkdir()
    long_ago = time.time() - 2 * ORPHAN_S
    for path in (*files.folder(old).iterdir(), files.folder(old)):
        os.utime(path, (long_ago, long_ago))
    with contextlib.closing(sqlite3.connect(house.data / "modelserve.db", timeout=30)) as database, database:
        database.execute("UPDATE jobs SET finished = finished - ?", (2 * MIN_KEPT_S,))
    async with restarted(house, keep_jobs=1):
        await until(lambda: not files.folder(jobs[0].uuid).exists(), within_s=END_S)
        await until(lambda: not files.folder(old).exists(), within_s=END_S)
        await until(lambda: not files.uploads(ended).exists(), within_s=END_S)
    assert files.folder(ended).exists()
    assert files.uploads(young).exists(), "its job may come yet"


async def test_what_a_training_has_left_outlives_the_database_that_had_its_job(open_house: Open) -> None:
    """Y2: a database that was moved away, or is another one now, makes no artifact a remnant."""
    house = await open_house()
    files, store, settings = house.runner.files, house.runner.store, house.settings
    trained, submitted = uuid4().hex, uuid4().hex
    for uuid in (trained, submitted):
        files.make(uuid)
    (files.artifacts(trained) / "weights").write_text("dear")
    ages = {trained: 2 * ORPHAN_S, submitted: 2 * ORPHAN_S}

    async def none() -> list[str]:
        return []

    async def tidy() -> set[str]:
        for uuid in set(files.kept()) & set(ages):
            then = time.time() - ages[uuid]
            for path in (*files.folder(uuid).iterdir(), files.folder(uuid)):
                os.utime(path, (then, then))
        tidying = Tidying(store, files, settings, deployments=none, runs=set)
        for _ in range(2):  # the first time it looks at what came with requests only
            await tidying.tidy()
        return set(files.kept())

    assert await tidy() == {trained}
    ages[trained] = 2 * settings.keep_jobs_days * DAY_S
    assert await tidy() == set()


async def test_no_task_and_no_descriptor_is_left_of_a_runner(models: Path, tmp_path: Path) -> None:
    async def live() -> tuple[int, int]:
        async with opened(tmp_path, Settings()) as house:
            await house.end_of(await house.train("ok"))
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    tasks, descriptors = await live()  # the first makes what stays, such as asyncio's threads
    await live()
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
