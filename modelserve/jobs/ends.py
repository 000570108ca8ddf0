"""What is done when a job's run has ended: its end is written down, told, counted, and cleaned up behind.

Pool --ended--> Recorder -> followers, counts        Pool --gone--> uploads removed, the model reloaded
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from modelserve.errors import ModelserveError
from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import ENDED, Job, Operation, Status
from modelserve.jobs.recorder import Recorder
from modelserve.jobs.run import STOPPED, Ending
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings

__all__ = ["Ends"]


class Ends:
    """What the :class:`modelserve.jobs.pool.Pool` tells its events to.

    ``counts`` are the jobs that this server has seen to their end, by deployment, operation and status. ``freed`` is
    what is called when a slot has become free, and ``owed`` when a job has ended that is to be posted to its callback.
    Once :meth:`stop` was called nothing is reloaded any more.

    Args:
        recorder: Writes ends down.
        changed: Called with the uuid of each job that has changed.
        files: Where files lie that came with a request.
        fleet: What is reloaded.
        settings: Whether it is, and how often a job is run again.
    """

    freed: Callable[[], None]

    def __init__(
        self, recorder: Recorder, changed: Callable[[str], None], files: JobFiles, *, fleet: Fleet, settings: Settings
    ) -> None:
        self.counts: Counter[tuple[str, Operation, Status]] = Counter()
        self._recorder = recorder
        self._changed = changed
        self._files = files
        self._fleet = fleet
        self._settings = settings
        self._is_stopping = False
        self.owed: Callable[[], None] = lambda: None
        self._reloads: set[asyncio.Task[None]] = set()
        self._removals: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """The server stops: ends are to be written down soon."""
        self._is_stopping = True
        self._recorder.is_hurried = True

    async def ended(self, job: Job, ending: Ending) -> Job | None:
        """Write down how a run ended."""
        if ending is STOPPED and job.attempts <= self._settings.of(job.deployment).train_retries:
            ending = Ending(Status.QUEUED)
        recorded = await self._recorder.record(job, ending)
        if recorded is not None:
            self.note(recorded)
        return recorded

    def gone(self, job: Job, recorded: Job | None) -> None:
        """Clean up behind a run, of which nothing is left."""
        if recorded is None:  # it was ended elsewhere, or queued again, and then its files are still needed
            _keep(self._removals, self._drop_if_ended(job.uuid))
        elif recorded.status in ENDED:
            self.drop_uploads(job.uuid)
        is_trained = recorded is not None and recorded.status is Status.DONE and job.operation is Operation.TRAIN
        if is_trained and self._settings.of(job.deployment).reload_after_train and not self._is_stopping:
            _keep(self._reloads, self._reload(job.deployment))

    def note(self, job: Job) -> None:
        """A job has changed its status, here or elsewhere: tell and count it."""
        self._changed(job.uuid)
        if job.status in ENDED:
            self.counts[job.deployment, job.operation, job.status] += 1
            if job.callback_url:
                self.owed()

    def drop_uploads(self, uuid: str) -> None:
        """Remove the files that came with a job's request; never blocks."""
        _keep(self._removals, asyncio.to_thread(self._files.remove_uploads, uuid))

    async def _drop_if_ended(self, uuid: str) -> None:
        if await self._recorder.has_ended(uuid):
            await asyncio.to_thread(self._files.remove_uploads, uuid)

    async def close(self) -> None:
        """Finish removing files, and give up a reload."""
        for task in self._reloads:
            task.cancel()
        await asyncio.gather(*self._reloads, *self._removals, return_exceptions=True)

    async def _reload(self, name: str) -> None:
        with contextlib.suppress(ModelserveError):  # which the deployment has logged
            await self._fleet.reload(name)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
