"""Writes down how runs ended, and does not give up: a store that is unavailable is tried again and again.

An output that cannot be kept is another matter: a job ends without it, and says so, rather than run for ever.

Ending -> output over 64 KiB: a file -> Store.move, only from running and only if it is ours -> Job | None
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from modelserve.errors import NoSpace, NotFound, Unavailable
from modelserve.jobs.files import FULL, JobFiles
from modelserve.jobs.job import ENDED, Job, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.reports import Reports
from modelserve.jobs.run import Ending
from modelserve.jobs.thread import AsyncStore

__all__ = ["INLINE_BYTES", "Recorder"]

logger = logging.getLogger(__name__)

# A larger output is kept in a file, so that rows stay small.
INLINE_BYTES = 64 * 1024

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0

# A failure that is none of the database's, nor of a full disk, is tried again so often.
TRIES = 3

# How long a disk that is full may take to have room for an output.
ROOM_S = 60.0

UNKEPT = "What it returned could not be kept; the server's log says why."


class Recorder:
    """Records the ends of runs; with ``is_hurried``, since the server stops, no room is waited for.

    Args:
        store: Where they go.
        files: Where large outputs go.
        reports: What the run has told before is written first; behind its end nothing more is taken. So an end waits
            for a store that does not take reports, unless it is full or the server stops.
        outage: Is told how writing went.
    """

    def __init__(self, store: AsyncStore, files: JobFiles, reports: Reports, outage: Outage) -> None:
        self._store = store
        self._files = files
        self._reports = reports
        self._outage = outage
        self.is_hurried = False

    async def record(self, job: Job, ending: Ending) -> Job | None:
        """Write down how a job's run ended, however long that takes; None where another end was written before."""
        pause_s, is_unsure, failures, end_s = FIRST_PAUSE_S, False, 0, time.monotonic() + ROOM_S
        while True:
            try:
                recorded = await self._write(job, ending)
                if recorded is None and is_unsure:
                    recorded = await self._written(job, ending)
                self._outage.end()
                self._reports.forget(job.uuid)
                return recorded
            except Unavailable as error:
                is_unsure = True
                self._outage.begin(error)
            except OSError as error:
                self._outage.begin(NoSpace("The data folder cannot take an output.", log=str(error)))
                if self.is_hurried or time.monotonic() > end_s:
                    failures = TRIES
                else:
                    failures += error.errno not in FULL
            except Exception:  # the border of a job: it must have an end, and if need be without its output
                logger.exception("how a job ended could not be written down", extra={"job": job.uuid})
                is_unsure, failures = True, failures + 1
            if failures == TRIES:
                logger.error("what a job returned could not be kept", extra={"job": job.uuid})
                ending, failures = _without_output(ending), 0
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def has_ended(self, uuid: str) -> bool:
        """Tell whether a job has ended or is there no more; False also where nobody can say now."""
        try:
            return (await self._store.get(uuid)).status in ENDED
        except NotFound:
            return True
        except Unavailable:
            return False

    async def _write(self, job: Job, ending: Ending) -> Job | None:
        await self._write_reports()
        output, size = ending.output, ending.output_bytes or len(ending.output or b"")
        if output is not None and len(output) > INLINE_BYTES:
            await asyncio.to_thread(self._files.keep_output, job.uuid, output)
            output = None
        if ending.status is Status.DONE:
            await asyncio.to_thread(self._files.settle, job.uuid)
        ended = partial(self._store.move, message=ending.message, output=output, output_bytes=size)
        return await ended(job.uuid, ending.status, owner=job.owner, attempt=job.attempts)

    async def _write_reports(self) -> None:
        try:
            await self._reports.flush()
        except Unavailable as error:
            if not self.is_hurried and not isinstance(error, NoSpace):
                raise
            self._outage.begin(error)  # the end is smaller, and matters more

    async def _written(self, job: Job, ending: Ending) -> Job | None:
        """Return the job where an earlier try has written its end, although the database's answer was lost."""
        try:
            found = await self._store.get(job.uuid)
        except NotFound:
            return None
        ours = (ending.status, job.owner if ending.status in ENDED else "", job.attempts)
        return found if (found.status, found.owner, found.attempts) == ours else None


def _without_output(ending: Ending) -> Ending:
    """Return the end that is written where this one cannot be."""
    if ending.status is not Status.DONE:
        return Ending(ending.status)
    return Ending(Status.ERROR, UNKEPT)
