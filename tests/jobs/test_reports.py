"""What running jobs tell is gathered, and written together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest_asyncio

from modelserve.jobs.job import NewJob, Operation, Report
from modelserve.jobs.outage import Outage
from modelserve.jobs.reports import MOST, MOST_BYTES, Reports
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore

OWNER = "a" * 32
KIND = ("m", Operation.TRAIN)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[AsyncStore]:
    """A real store."""
    store = AsyncStore(Store.open("", tmp_path))
    yield store
    await store.close()


async def running(store: AsyncStore) -> str:
    """Return the id of a job that runs on this server."""
    uuid = uuid4().hex
    await store.add(NewJob(uuid, *KIND))
    await store.take(OWNER, {KIND: 1}, "")
    return uuid


async def test_reports_of_several_jobs_are_written_together_and_told(store: AsyncStore) -> None:
    one, two, told = await running(store), await running(store), set[str]()
    reports = Reports(store, OWNER, Outage(), told.add)
    writing = asyncio.create_task(reports.run())
    for report in (Report(one, 0.1), Report(one, None, {"loss": 2.0}, 7), Report(two, 0.5), Report(two, 0.6)):
        reports.add(report)
    while told != {one, two}:
        await asyncio.sleep(0.01)
    writing.cancel()
    first, second = await store.get(one), await store.get(two)
    assert (first.progress, first.metrics, second.progress) == (0.1, {"loss": 2.0}, 0.6)
    assert [point.step for point in await store.history(one)] == [7]


async def test_more_than_can_be_kept_are_thinned_and_the_last_stays(store: AsyncStore) -> None:
    one = await running(store)
    reports = Reports(store, OWNER, Outage(), lambda uuid: None)
    for step in range(MOST + 10):
        reports.add(Report(one, None, {"loss": 1.0 / (step + 1)}, step))
    await reports.flush()
    assert (await store.get(one)).metrics == {"loss": 1.0 / (MOST + 10)}
    assert (await store.history(one))[-1].step == MOST + 9


async def test_nothing_is_written_where_there_is_nothing(store: AsyncStore) -> None:
    told: list[str] = []
    await Reports(store, OWNER, Outage(), told.append).flush()
    assert not told


async def test_reports_of_one_job_are_bounded_in_bytes_and_cost_no_other_job_its_own(store: AsyncStore) -> None:
    """X7: some hundred reports of a MiB each, and fifty small ones of another job."""
    large, small = await running(store), await running(store)
    reports = Reports(store, OWNER, Outage(), lambda uuid: None)
    for step in range(50):
        reports.add(Report(small, None, {"loss": 1.0}, step))
        for _ in range(4):
            reports.add(Report(large, None, {"x" * 1_000_000: 1.0}, step))
    assert sum(len(name) for each in reports._waiting[large].reports for name in each.metrics) <= MOST_BYTES
    await reports.flush()
    assert len(await store.history(small)) == 50
