"""What running jobs tell is gathered, and written together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from modelserve.errors import StoreUnavailable, Unavailable
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


class Away(AsyncStore):
    """A store that does not take reports, as ``error`` says; ``tries`` counts."""

    error: Unavailable | None = None
    tries = 0

    async def report(self, owner: str, reports: Sequence[Report]) -> None:
        self.tries += 1
        if self.error is not None:
            raise self.error
        await super().report(owner, reports)


@pytest_asyncio.fixture
async def away(tmp_path: Path) -> AsyncIterator[Away]:
    store = Away(Store.open("", tmp_path))
    yield store
    await store.close()


async def test_what_a_store_that_is_unavailable_does_not_take_is_written_once_it_is_back(
    away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    """H11."""
    one, two = await running(away), await running(away)
    reports = Reports(away, OWNER, Outage(), lambda uuid: None)
    away.error = StoreUnavailable("It is down.")
    writing = asyncio.create_task(reports.run())
    for step in range(4):
        reports.add(Report(one, 0.1 * step, {"loss": float(step)}))
        while away.tries < min(step + 1, 2):  # some of them come before a try, and some after one
            await asyncio.sleep(0.01)
    reports.add(Report(two, 0.5))
    away.error = None
    while (await away.get(two)).progress is None:
        await asyncio.sleep(0.01)
    writing.cancel()
    assert [(point.step, point.metrics) for point in await away.history(one)] == [
        (step + 1, {"loss": float(step)}) for step in range(4)
    ]
    assert "dropped" not in caplog.text


async def test_what_an_outage_leaves_is_bounded_and_what_was_dropped_is_told(
    away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    """H11."""
    one, two = await running(away), await running(away)
    reports = Reports(away, OWNER, Outage(), lambda uuid: None)
    away.error = StoreUnavailable("It is down.")
    for step in range(MOST + 10):
        reports.add(Report(one, None, {"loss": 1.0}, step))
        if step % 5000 == 0:
            with pytest.raises(StoreUnavailable):
                await reports.flush()
    for step in range(10):
        reports.add(Report(two, None, {"loss": 1.0}, step))
    away.error, away.tries = None, 0
    await reports.flush()
    assert "dropped: 10000" in caplog.text
    assert ((await away.history(one))[-1].step, len(await away.history(two)), away.tries) == (MOST + 9, 10, 1)


async def test_a_transaction_takes_no_more_than_it_can_of_what_several_jobs_have_told(away: Away) -> None:
    jobs = [await running(away) for _ in range(3)]
    reports = Reports(away, OWNER, Outage(), lambda uuid: None)
    for step in range(MOST // 2 + 1):
        for uuid in jobs:
            reports.add(Report(uuid, None, {"loss": 1.0}, step))
    await reports.flush()
    assert away.tries == 3
    assert {(await away.history(uuid))[-1].step for uuid in jobs} == {MOST // 2}


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
