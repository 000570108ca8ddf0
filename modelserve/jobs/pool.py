"""The runs of this server: each has a slot until nothing of it is left, and its end is written down.

begin(job) -> Run.ending -> Events.ended -> Run.close -> Events.freed -> Events.gone
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from modelserve.jobs.job import Job, Operation, Status
from modelserve.jobs.run import Ending, Run
from modelserve.jobs.runs import Kind

__all__ = ["Events", "Pool"]

logger = logging.getLogger(__name__)

# Closing that fails is tried again, for the process of a training would go on.
CLOSE_TRIES = 3

FAILED = Ending(Status.ERROR, "The server could not run this job; its log says why.")


class Events(Protocol):
    """What the pool tells of its runs."""

    async def ended(self, job: Job, ending: Ending) -> Job | None:
        """A run has ended, if not all of its processes: write it down, and return the job where that was the end."""

    def gone(self, job: Job, recorded: Job | None) -> None:
        """Nothing is left of a run, and its end is written down."""

    def freed(self) -> None:
        """A slot has become free."""


class Pool:
    """What runs now.

    Args:
        make: Makes the run of a job in the slot of a number.
        events: Is told of what becomes of them.
    """

    def __init__(self, make: Callable[[Job, int], Run], events: Events) -> None:
        self._make = make
        self._events = events
        self._runs: dict[str, Run] = {}
        self._slots: dict[Kind, set[int]] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._failed: set[str] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def runs(self) -> Mapping[str, Run]:
        """The runs by their job's uuid."""
        return self._runs

    @property
    def known(self) -> frozenset[str]:
        """The uuids of the jobs that run, or have run and are not dealt with yet."""
        return frozenset((*self._tasks.values(), *self._failed))

    @property
    def busy(self) -> Mapping[Kind, Collection[int]]:
        """The numbers of the slots that are taken, by kind."""
        return self._slots

    def begin(self, job: Job) -> None:
        """Run a job that this server has taken; never blocks."""
        taken = self._slots.setdefault((job.deployment, job.operation), set())
        number = next(number for number in itertools.count() if number not in taken)
        taken.add(number)
        run: Run | None
        try:
            run = self._make(job, number)
        except Exception:  # the border of a job: it fails, and no other
            logger.exception("a job cannot be run", extra={"deployment": job.deployment, "job": job.uuid})
            run = None
        if run is not None:
            self._runs[job.uuid] = run
            self._is_empty.clear()
        task = asyncio.create_task(self._run(job, run, number), name=f"job {job.uuid}")
        self._tasks[task] = job.uuid
        task.add_done_callback(self._tasks.pop)

    def cancel(self, uuid: str) -> bool:
        """End the run of a job whose record says that it has ended; tell whether there is one. Never blocks."""
        run = self._runs.get(uuid)
        if run is not None:
            run.cancel()
        return run is not None

    def stop(self, training_s: float, prediction_s: float) -> None:
        """Ask all runs to end, and end them after so many seconds; never blocks."""
        for run in self._runs.values():
            run.stop(training_s if run.job.operation is Operation.TRAIN else prediction_s)

    async def emptied(self) -> None:
        """Wait until nothing of any run is left."""
        await self._is_empty.wait()

    async def close(self, wait_s: float) -> list[str]:
        """Wait until all ends are written down, so long at most; return the uuids of the jobs whose are not."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=wait_s)
        left = dict(self._tasks)
        self._failed.update(left.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return list(left.values())

    async def _run(self, job: Job, run: Run | None, number: int) -> None:
        recording: asyncio.Future[Job | None] | None = None
        try:
            try:
                recording = asyncio.ensure_future(self._events.ended(job, await _ending(run)))
                await _close(run)
            finally:
                self._free(job, run, number)
            self._events.gone(job, await recording)
        except Exception:  # the border of a task
            self._failed.add(job.uuid)  # nobody knows how far it came: it is not to be run again
            if recording is not None:
                await asyncio.wait([recording])  # its end is written all the same
            logger.exception("the end of a job could not be dealt with", extra={"job": job.uuid})
        finally:
            if recording is not None:
                recording.cancel()

    def _free(self, job: Job, run: Run | None, number: int) -> None:
        self._slots[job.deployment, job.operation].discard(number)
        if run is not None and self._runs.get(job.uuid) is run:
            del self._runs[job.uuid]
        if not self._runs:
            self._is_empty.set()
        self._events.freed()


async def _close(run: Run | None) -> None:
    """Return once nothing of a run is left; where that fails again and again, its end is written down all the same."""
    if run is None:
        return
    for _ in range(CLOSE_TRIES):
        try:
            await run.close()
            return
        except Exception:  # the border of a job
            logger.exception("what ran a job could not be closed", extra={"job": run.job.uuid})


async def _ending(run: Run | None) -> Ending:
    if run is None:
        return FAILED
    try:
        return await run.ending()
    except Exception:  # the border of a job: it fails, and no other
        logger.exception("a job failed in the server", extra={"job": run.job.uuid})
        return FAILED
