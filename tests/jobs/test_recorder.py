"""The end of a run is written down although the database's answer to that was lost."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from modelserve.errors import NoSpace, StoreUnavailable, Unavailable
from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import Job, Operation, Report, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.recorder import Recorder
from modelserve.jobs.reports import Reports
from modelserve.jobs.run import Ending
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore
from tests.jobs.store_contract import a_job


class Forgetful(AsyncStore):
    """A store whose answer to the first move is lost: with ``before``, another move comes first."""

    before: dict[str, Any] | None = None
    purges = False
    then_runs_on = ""
    has_moved = False

    async def move(self, uuid: str, to: Status, **given: Any) -> Job | None:
        if self.has_moved:
            return await super().move(uuid, to, **given)
        self.has_moved = True
        await super().move(uuid, **(self.before or {"to": to, **given}))
        if self.then_runs_on:
            taken = await self.take(self.then_runs_on, {("m", Operation.TRAIN): 1}, "")
            assert taken is not None
            await super().move(uuid, Status.DONE, owner=taken.owner, attempt=taken.attempts)
        if self.purges:
            await self.purge(-1, 0)
        raise StoreUnavailable("It cannot be used.")


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Forgetful]:
    async with contextlib.AsyncExitStack() as stack:
        store = Forgetful(Store.open("", tmp_path))
        stack.push_async_callback(store.close)
        yield store


@pytest_asyncio.fixture
async def job(store: Forgetful) -> Job:
    await store.add(a_job("m"))
    job = await store.take("o", {("m", Operation.TRAIN): 1}, "")
    assert job is not None
    return job


async def record(store: Forgetful, job: Job, ending: Ending, folder: Path) -> Job | None:
    reports = Reports(store, "o", Outage(), lambda uuid: None)
    return await Recorder(store, JobFiles(folder), reports, Outage()).record(job, ending)


@pytest.mark.parametrize("to", [Status.DONE, Status.QUEUED])
async def test_an_end_that_was_written_counts_although_nobody_said_so(
    store: Forgetful, job: Job, tmp_path: Path, to: Status
) -> None:
    """H16."""
    recorded = await record(store, job, Ending(to), tmp_path)
    assert recorded is not None
    assert recorded.status is to


async def test_the_end_that_another_has_written_meanwhile_is_not_ours(
    store: Forgetful, job: Job, tmp_path: Path
) -> None:
    """H07, H16."""
    store.before = {"to": Status.CANCELLED}
    assert await record(store, job, Ending(Status.DONE), tmp_path) is None


@pytest.mark.parametrize("owner", ["another", "o"])
async def test_an_end_of_the_same_status_by_another_owner_or_attempt_is_not_ours(
    store: Forgetful, job: Job, tmp_path: Path, owner: str
) -> None:
    """Y4: it was queued again meanwhile, and run to its end by another server, or by this one anew."""
    store.before = {"to": Status.QUEUED}
    store.then_runs_on = owner
    assert await record(store, job, Ending(Status.DONE), tmp_path) is None


async def test_a_job_that_is_gone_meanwhile_has_no_end(store: Forgetful, job: Job, tmp_path: Path) -> None:
    """H16."""
    store.purges = True
    assert await record(store, job, Ending(Status.DONE), tmp_path) is None


class Unreported(AsyncStore):
    """A store that does not take reports ``times`` times."""

    times = 0
    error: Unavailable = StoreUnavailable("It cannot be used.")

    async def report(self, owner: str, reports: Sequence[Report]) -> None:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        await super().report(owner, reports)


@pytest.mark.parametrize(
    ("error", "is_hurried", "steps"),
    [(StoreUnavailable("Down."), False, [0, 1]), (StoreUnavailable("Down."), True, []), (NoSpace("Full."), False, [])],
)
async def test_an_end_waits_for_what_was_reported_before_unless_the_store_is_full_or_the_server_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Unavailable, is_hurried: bool, steps: list[int]
) -> None:
    """H11."""
    async with contextlib.AsyncExitStack() as stack:
        store = Unreported(Store.open("", tmp_path))
        stack.push_async_callback(store.close)
        await store.add(a_job("m"))
        job = await store.take("o", {("m", Operation.TRAIN): 1}, "")
        assert job is not None
        reports = Reports(store, "o", Outage(), lambda uuid: None)
        for step in range(2):
            reports.add(Report(job.uuid, 0.5, {"loss": 1.0}, step))
        store.times, store.error = 1, error
        recorder = Recorder(store, JobFiles(tmp_path), reports, Outage())
        recorder.is_hurried = is_hurried
        recorded = await recorder.record(job, Ending(Status.DONE))
        assert recorded is not None
        assert recorded.status is Status.DONE
        assert [point.step for point in await store.history(job.uuid)] == steps
        assert ("dropped: 2" in caplog.text) is not bool(steps)


class Full(JobFiles):
    """Files of a data folder whose disk has no room for so many tries."""

    tries = 0

    def output(self, uuid: str) -> Path:
        if self.tries:
            self.tries -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().output(uuid)


LARGE = Ending(Status.DONE, output=b'"' + b"x" * 70_000 + b'"')


async def record_large(store: Forgetful, job: Job, files: JobFiles, *, is_hurried: bool = False) -> Job:
    store.has_moved = True
    recorder = Recorder(store, files, Reports(store, "o", Outage(), lambda uuid: None), Outage())
    recorder.is_hurried = is_hurried
    recorded = await recorder.record(job, LARGE)
    assert recorded is not None
    return recorded


async def test_an_output_makes_the_folder_anew_that_was_removed(store: Forgetful, job: Job, tmp_path: Path) -> None:
    """Y12."""
    recorded = await record_large(store, job, JobFiles(tmp_path / "nowhere"))
    assert (recorded.status, recorded.output_bytes) == (Status.DONE, 70_002)


async def test_a_job_ends_without_an_output_that_its_folder_cannot_take_and_says_so(
    store: Forgetful, job: Job, tmp_path: Path
) -> None:
    """Y12: there is a file in the place of the folder."""
    (tmp_path / "file").touch()
    recorded = await record_large(store, job, JobFiles(tmp_path / "file"))
    assert (recorded.status, recorded.output, recorded.output_bytes) == (Status.ERROR, None, 0)
    assert "could not be kept" in recorded.message


async def test_a_disk_that_is_full_is_given_time(store: Forgetful, job: Job, tmp_path: Path) -> None:
    """Y12."""
    files = Full(tmp_path)
    files.make(job.uuid)
    files.tries = 2
    recorded = await record_large(store, job, files)
    assert (recorded.status, recorded.message, recorded.output_bytes) == (Status.DONE, "", 70_002)


async def test_a_server_that_stops_waits_for_no_room(store: Forgetful, job: Job, tmp_path: Path) -> None:
    """Y12."""
    files = Full(tmp_path)
    files.tries = 1000
    recorded = await record_large(store, job, files, is_hurried=True)
    assert recorded.status is Status.ERROR
    assert "could not be kept" in recorded.message
