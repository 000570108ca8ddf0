"""Gathers what running jobs tell of themselves, and writes it for all of them together.

TrainingRun --Report--> Reports --every 0.2 s, in one transaction--> Store --> who follows the jobs
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modelserve.jobs.job import Report
from modelserve.jobs.outage import Outage
from modelserve.jobs.thread import AsyncStore

__all__ = ["Reports"]

# Between two transactions. A commit to an ordinary disk takes some milliseconds.
PAUSE_S = 0.2

# So many of one job may wait for a store that is slow; beyond, every second one of them is dropped.
MOST = 20_000

# The same in bytes, as far as they can be told: a number in Python, the object of a report, and texts as they are.
MOST_BYTES = 16 * 1024 * 1024
NUMBER_BYTES = 100
REPORT_BYTES = 200


class _Told:
    """The reports of one job that are not written yet."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
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
            del self.reports[:-1:2]
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
            await self.flush()
            await asyncio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write what has come until now; where the store is unavailable, it is dropped."""
        async with self._turn:
            waiting, self._waiting = self._waiting, {}
            self._there.clear()
            if not waiting:
                return
            with self._outage.noticed():
                await self._store.report(self._owner, [each for told in waiting.values() for each in told.reports])
            for uuid in waiting:
                self._written(uuid)


def _size(report: Report) -> int:
    return REPORT_BYTES + sum(len(name) + NUMBER_BYTES for name in report.metrics)
