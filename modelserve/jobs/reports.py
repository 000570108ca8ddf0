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

# So many may wait for a store that is slow; beyond, every second one is dropped.
MOST = 20_000


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
        self._waiting: list[Report] = []
        self._there = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, report: Report) -> None:
        """Take one report; never blocks."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.uuid == report.uuid and not last.metrics:
            self._waiting.pop()  # it says no more than this one does
            if report.progress is None:
                report = Report(report.uuid, last.progress, report.metrics, report.step)
        self._waiting.append(report)
        if len(self._waiting) > MOST:
            del self._waiting[:-1:2]
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
            reports, self._waiting = self._waiting, []
            self._there.clear()
            if not reports:
                return
            with self._outage.noticed():
                await self._store.report(self._owner, reports)
            for uuid in {report.uuid for report in reports}:
                self._written(uuid)
