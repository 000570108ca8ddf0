"""Runs the jobs of one server: takes those that are queued, sees each to its end, and writes down how it ended.

    submit -> Store.add -> queued -> Store.take, where a slot is free -> Pool -> Recorder -> done | error
    cancel -> Store.move -> cancelled, and its run is ended     drain -> runs are asked to end -> lost, or queued again

Several servers may share one store; each job is run by the one that took it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from types import TracebackType

from modelserve.errors import Conflict, ModelserveError, Stopping, Unavailable
from modelserve.jobs.ends import Ends
from modelserve.jobs.files import JobFiles
from modelserve.jobs.followers import Followers
from modelserve.jobs.heartbeat import BEAT_S, Heartbeat
from modelserve.jobs.job import ENDED, Job, NewJob, Operation, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.owners import Owner
from modelserve.jobs.pool import Pool
from modelserve.jobs.recorder import Recorder
from modelserve.jobs.reports import Reports
from modelserve.jobs.run import RunReport
from modelserve.jobs.runs import Kind, Runs
from modelserve.jobs.thread import AsyncStore
from modelserve.jobs.tidying import Tidying
from modelserve.metrics import JobCounts
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.tracing import Tracing

__all__ = ["Runner"]

logger = logging.getLogger(__name__)

# Another server, or the command line, may have stored a job: it is looked for this often.
LOOK_S = 1.0

TIDY_S = 3600.0

# When the server stops, ends that are not written down yet get so long. One statement may wait 5 s for a lock.
RECORD_S = 6.0


class Runner:
    """The jobs of one server, as an async context; when it is left, nothing of any run is left.

    Args:
        store: Where the jobs are; open, and closed by whoever opened it.
        files: Where their files are.
        owner: This server.
        fleet: What runs them; it is entered before and left after.
        settings: How.
        tracing: Makes a span of each run; None for none.
    """

    def __init__(
        self,
        store: AsyncStore,
        files: JobFiles,
        owner: Owner,
        fleet: Fleet,
        settings: Settings,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self.store = store
        self.files = files
        self._owner = owner
        self._settings = settings
        self._outage = Outage()
        self._followers = Followers(store, self._outage)
        self._reports = Reports(store, owner.id, self._outage, self._followers.changed)
        recorder = Recorder(store, files, self._reports, self._outage)
        self._ends = Ends(recorder, self._followers.changed, files, fleet=fleet, settings=settings)
        self._runs = Runs(fleet, files, settings, self._reports.add, tracing=tracing)
        self._pool = Pool(self._runs.make, self._ends)
        self._heartbeat = Heartbeat(store, owner, self._pool, outage=self._outage, reaped=self._reaped)
        self._tidying = Tidying(store, files, settings, frozenset(fleet.deployments))
        self._wake = asyncio.Event()
        self._ends.freed = self._wake.set
        self._queued: Mapping[Kind, int] = {}
        self._is_stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Runner:
        await asyncio.to_thread(lambda: self.files.place)  # it is in a file
        beating = self._again_and_again(self._beat, BEAT_S)
        tidying = self._again_and_again(self._tidying.tidy, TIDY_S)
        self._tasks = [asyncio.create_task(work) for work in (self._take(), beating, tidying, self._reports.run())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain(0.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ends.close()

    def running(self) -> list[RunReport]:
        """Return what runs on this server now, for its operator."""
        return [RunReport.of(run) for run in self._pool.runs.values()]

    def counts(self) -> JobCounts:
        """Return how many jobs wait in the whole store, as of some seconds ago, run here, and have been ended by us."""
        present, ended = {}, {}
        for name, operation in self._runs.kinds():
            present[name, operation.value, Status.QUEUED.value] = self._queued.get((name, operation), 0)
            present[name, operation.value, Status.RUNNING.value] = len(self._pool.busy.get((name, operation), ()))
            for status in sorted(ENDED):
                ended[name, operation.value, status.value] = self._ends.counts[name, operation, status]
        return JobCounts(present, ended)

    async def submit(self, new: NewJob, *, key: str = "") -> Job:
        """Store a job, which is run as soon as a slot is free; its files are there already.

        Args:
            new: The job.
            key: As :meth:`Store.add` has it. The files of a job that was stored before are removed.

        Raises:
            Conflict: The key came with another request before.
            QueueFull: ``max_queued_jobs`` wait already; the job's files are removed.
            Stopping: The server is shutting down.
            StoreUnavailable: The store cannot be used now; the job's files are removed.
            NoSpace: The store is full; likewise.
        """
        try:
            if self._is_stopping:
                raise Stopping("The server is shutting down.")
            job = await self.store.add(new, key=key, most=self._settings.of(new.deployment).max_queued_jobs)
        except ModelserveError:
            await asyncio.to_thread(self.files.remove, new.uuid)
            raise
        if job.uuid != new.uuid:
            await asyncio.to_thread(self.files.remove, new.uuid)
        self._wake.set()
        return job

    async def cancel(self, deployment: str, operation: Operation, uuid: str) -> Job:
        """Cancel a job that is queued or runs, wherever it does, and return it.

        Its record says so at once. What runs of it is asked to end, and ended after ``train_cancel_s``.

        Raises:
            Conflict: It has ended.
            NotFound: There is none.
            StoreUnavailable: The store cannot be used now.
        """
        job = await self.store.get(uuid, deployment=deployment, operation=operation)
        cancelled = None if job.status in ENDED else await self.store.move(uuid, Status.CANCELLED)
        if cancelled is None:
            raise Conflict("The job has ended already.")
        self._ends.note(cancelled)
        if not self._pool.cancel(uuid):
            self._ends.drop_uploads(uuid)
        return cancelled

    def watch_callbacks(self, owed: Callable[[], None]) -> None:
        """Have this called whenever a job has ended here that is to be posted to its ``callback_url``; never blocks."""
        self._ends.owed = owed

    def follow(self, job: Job) -> AsyncGenerator[Job, None]:
        """Yield the job as it is, and again each time it has changed; the last is an ended one.

        Only where the job has been removed, or this server stops, the last is another.
        """
        return self._followers.follow(job)

    async def drain(self, grace_s: float) -> None:
        """Take no more jobs, ask trainings to end, give predictions their grace, and write down how all ended."""
        self._is_stopping = True
        self._ends.is_stopping = True
        self._wake.set()
        await asyncio.wait(self._tasks[:1])  # it has no pause that does not end, and what it takes must be run
        self._pool.stop(min(self._settings.train_cancel_s, grace_s), grace_s)
        await self._pool.emptied()
        for uuid in await self._pool.close(RECORD_S):
            logger.error("how a job ended could not be written down", extra={"job": uuid})
        await self._followers.close()

    async def _take(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            if self._heartbeat.has_beaten:
                await self._attempt(self._take_all)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)

    async def _take_all(self) -> None:
        while not self._is_stopping and (free := self._runs.free(self._pool.busy)):
            job = await self.store.take(self._owner.id, free, self.files.place)
            if job is None:
                return
            if job.uuid in self._pool.runs:  # its last run here is still ending: another server had reaped it
                await self.store.move(job.uuid, Status.QUEUED, owner=self._owner.id)
                return
            self._followers.changed(job.uuid)
            self._pool.begin(job)

    async def _beat(self) -> None:
        await self._heartbeat.beat()
        self._wake.set()
        self._queued = await self.store.queued()

    def _reaped(self, job: Job) -> None:
        self._ends.note(job)
        if job.status in ENDED:
            self._ends.drop_uploads(job.uuid)

    async def _again_and_again(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            await self._attempt(work)
            await asyncio.sleep(pause_s)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that may fail now and work the next time."""
        try:
            await work()
        except Unavailable as error:
            self._outage.begin(error)
        except Exception:  # the border of a task that must go on
            logger.exception("the runner of jobs has failed, and goes on")
