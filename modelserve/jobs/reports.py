"""Gathers what running jobs tell of themselves, and writes it for all of them together.

TrainingRun --Report--> Reports --every 0.2 s, in one transaction--> Store --> who follows the jobs

What a store that is unavailable does not take is kept, and written once it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from modelserve.errors import Unavailable
from modelserve.jobs.job import Report
from modelserve.jobs.outage import Outage
from modelserve.jobs.thread import AsyncStore

__all__ = ["Reports"]

logger = logging.getLogger(__name__)

# Between two transactions. A commit to an ordinary disk takes some milliseconds.
PAUSE_S = 0.2

# Until a store that was unavailable is tried again.
AGAIN_S = 1.0

# So many of one job may wait for a store that is slow or unavailable; beyond, every second one of them is dropped.
MOST = 20_000

# The same in bytes, as far as they can be told: a number in Python, the object of a report, and texts as they are.
MOST_BYTES = 16 * 1024 * 1024
NUMBER_BYTES = 100
REPORT_BYTES = 200


class _Told:
    """The reports of one job that are not written yet; ``dropped`` counts those for which there was no room."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.dropped = 0
        self._bytes = 0

    def add(self, report: Report) -> None:
        last = self.reports[-1] if self.reports else None
        if last is not None and not last.metrics:
            self._bytes -= _size(self.reports.pop())  # it says no more than this one does
            if report.progress is None:
                report = Report(report.uuid, last.progress, report.metrics, report.step)
        self.reports.append(report)
        self._bytes += _size(report)
        if len(self.reports) > MOST or self._bytes > MOST_BYTES:
            before = len(self.reports)
            del self.reports[:-1:2]
            self.dropped += before - len(self.reports)
            self._bytes = sum(map(_size, self.reports))


class Reports:
    """The reports that are not written yet.

    Args:
        store: Where they go.
        owner: The id of this server.
        outage: Is told how writing went.
        written: Called with the uuid of each job of which something was written.
    """

    def __init__(self, store: AsyncStore, owner: str, outage: Outage, written: Callable[[str], None]) -> None:
        self._store = store
        self._owner = owner
        self._outage = outage
        self._written = written
        self._waiting: dict[str, _Told] = {}
        self._there = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, report: Report) -> None:
        """Take one report; never blocks."""
        self._waiting.setdefault(report.uuid, _Told()).add(report)
        self._there.set()

    async def run(self) -> None:
        """Write them as they come, until cancelled."""
        while True:
            await self._there.wait()
            try:
                await self.flush()
            except Unavailable as error:
                self._outage.begin(error)
                await asyncio.sleep(AGAIN_S)
            else:
                self._outage.end()
                await asyncio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write what has come until now.

        Raises:
            Unavailable: The store does not take it now. It is kept, and written the next time.
        """
        async with self._turn:
            waiting, self._waiting = self._waiting, {}
            self._there.clear()
            while some := _some(waiting):
                try:
                    await self._store.report(self._owner, [each for uuid in some for each in waiting[uuid].reports])
                except Unavailable:
                    self._keep(waiting)
                    raise
                for uuid in some:
                    self._written(uuid)
                    _say_dropped(uuid, waiting.pop(uuid).dropped)

    def forget(self, uuid: str) -> None:
        """The end of a job is written: nothing more is taken of it, so that what still waits is dropped."""
        told = self._waiting.pop(uuid, None)
        if told is not None:
            _say_dropped(uuid, told.dropped + len(told.reports))

    def _keep(self, waiting: dict[str, _Told]) -> None:
        """Put what was not written in front of what has come meanwhile."""
        newer, self._waiting = self._waiting, waiting
        for uuid, told in newer.items():
            older = self._waiting.setdefault(uuid, told)
            if older is not told:
                older.dropped += told.dropped
                for report in told.reports:
                    older.add(report)
        self._there.set()


def _some(waiting: Mapping[str, _Told]) -> list[str]:
    """Return the first jobs, as many as one transaction can take in its time: what an outage has left may be much."""
    found: list[str] = []
    count = 0
    for uuid, told in waiting.items():
        count += len(told.reports)
        if found and count > MOST:
            break
        found.append(uuid)
    return found


def _say_dropped(uuid: str, count: int) -> None:
    if count:
        told = "the store of jobs did not take in time what a job has reported; dropped: %d"
        logger.warning(told, count, extra={"job": uuid})


def _size(report: Report) -> int:
    return REPORT_BYTES + sum(len(name) + NUMBER_BYTES for name in report.metrics)
