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
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from modelserve.errors import Conflict, Stopping, StoreUnsure, Unavailable
from modelserve.held import Bound
from modelserve.jobs.ends import Ends
from modelserve.jobs.files import JobFiles
from modelserve.jobs.followers import Followers
from modelserve.jobs.heartbeat import BEAT_S, Heartbeat
from modelserve.jobs.job import ENDED, Job, NewJob, Operation, Room, Status, Wanted
from modelserve.jobs.log_limit import LOOK_S as LOG_LOOK_S
from modelserve.jobs.log_limit import shorten
from modelserve.jobs.outage import Outage
from modelserve.jobs.owners import Owner
from modelserve.jobs.pool import Pool
from modelserve.jobs.recorder import Recorder
from modelserve.jobs.reports import Reports
from modelserve.jobs.run import RunReport
from modelserve.jobs.runs import Kind, Runs
from modelserve.jobs.strangers import Strangers
from modelserve.jobs.thread import AsyncStore
from modelserve.jobs.tidying import Tidying
from modelserve.jobs.unsure import surely
from modelserve.metrics import JobCounts
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.tracing import Tracing

if TYPE_CHECKING:  # it loads SQLAlchemy, which the server does on a thread while its workers start
    from modelserve.jobs.servers import Servers

__all__ = ["Runner"]

logger = logging.getLogger(__name__)

# Another server, or the command line, may have stored a job: it is looked for this often.
LOOK_S = 1.0

TIDY_S = 3600.0

# Whether a job was stored after all is asked this often. A server that stops leaves its files to the next start.
LOOK_UP_S = 2.0

# When the server stops, ends that are not written down yet get so long. One statement may wait 5 s for a lock.
RECORD_S = 6.0


# A database of which nothing is heard is then waited for no longer than this, in each statement.
HURRY_S = 2.0


class Runner:
    """The jobs of one server, as an async context; when it is left, nothing of any run is left.

    Args:
        store: Where the jobs are; open, and closed by whoever opened it.
        servers: Where this server says that it lives, on a connection of its own, which it closes.
        files: Where their files are.
        owner: This server.
        fleet: What runs them; it is entered before and left after.
        settings: How.
        tracing: Makes a span of each run; None for none.
    """

    def __init__(
        self,
        store: AsyncStore,
        servers: Servers,
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
        self._supervisor = fleet.supervisor
        self._outage = Outage()
        self._followers = Followers(store, self._outage, self._supervisor)
        self._reports = Reports(store, owner.id, self._outage, self._followers.changed)
        recorder = Recorder(store, files, self._reports, self._outage)
        self._ends = Ends(recorder, self._followers.changed, files, fleet=fleet, settings=settings)
        self._runs = Runs(fleet, files, settings, self._reports.add, tracing=tracing)
        self._pool = Pool(self._runs.make, self._ends)
        self._wake = asyncio.Event()
        self._heartbeat = Heartbeat(
            servers,
            store,
            owner,
            self._pool,
            outage=self._outage,
            reaped=self._reaped,
            serves=lambda: msgspec.json.encode(self.models).decode(),
            heard=self._wake.set,
            supervisor=self._supervisor,
        )
        self._strangers = Strangers(store, self._runs.models, lambda: self._heartbeat.elsewhere, self._reaped)
        self._tidying = Tidying(
            store, files, settings, deployments=self._removable_deployments, runs=lambda: self._pool.known
        )
        self._ends.freed = self._wake.set
        self._queued: Mapping[Kind, int] = {}
        self.held = Bound("jobs", settings.max_queued_job_bytes)
        self._is_stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._lookups: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Runner:
        await asyncio.to_thread(lambda: self.files.place)  # it is in a file
        await self._heartbeat.__aenter__()
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "taking jobs": self._take,
            "counting jobs": partial(self._again_and_again, "counting jobs", self._count, BEAT_S),
            "tidying jobs": partial(self._again_and_again, "tidying jobs", self._tidying.tidy, TIDY_S),
            "reports": self._reports.run,
            "job logs": self._limit_logs,
        }
        self._tasks = [self._supervisor.task(part, work) for part, work in parts.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain(0.0)
        tasks = [*self._tasks, *self._lookups]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._heartbeat.__aexit__(None, None, None)
        await self._ends.close()

    @property
    def models(self) -> Mapping[str, str]:
        """The identities of the models behind its deployments, which jobs are submitted with, as they are now."""
        return self._runs.models()

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
            StoreUnsure: Nor can it be found out now whether the job was stored: its files stay until it can.
            NoSpace: The store is full; the job's files are removed.
        """
        most = self._settings.of(new.deployment).max_queued_jobs
        add = partial(self.store.add, new, key=key, most=most, room=self._room())
        try:
            if self._is_stopping:
                raise Stopping("The server is shutting down.")
            job = await surely(add, partial(add, is_again=True))
        except StoreUnsure:
            self._lookups.add(task := asyncio.create_task(self._look_up(new), name=f"look-up of {new.uuid}"))
            task.add_done_callback(self._lookups.discard)
            raise
        except Exception:
            await asyncio.to_thread(self.files.remove, new.uuid)
            raise
        if job.uuid != new.uuid:
            await asyncio.to_thread(self.files.remove, new.uuid)
        self._wake.set()
        return job

    async def check_room(self, wanted: Wanted, size: int) -> None:
        """See, before a body is read, that a job of this size finds room, unless it is there already, by its key.

        Raises:
            QueueFull: The jobs that have not ended take ``max_queued_job_bytes``.
            TooLarge: It is larger than one of the two by itself.
            TooManyRequests: Those of the client take ``max_client_job_bytes``.
            StoreUnavailable: The store cannot be used now.
        """
        await self.store.check_room(self._room(), wanted, size)

    def _room(self) -> Room:
        return Room(self._settings.max_queued_job_bytes, self._settings.max_client_job_bytes)

    async def cancel(self, deployment: str, operation: Operation, uuid: str) -> Job:
        """Cancel a job that is queued or runs, wherever it does, and return it.

        Its record says so at once. What runs of it is asked to end, and ended after ``train_cancel_s``.

        Raises:
            Conflict: It has ended.
            NotFound: There is none.
            StoreUnavailable: The store cannot be used now.
        """
        job = await self.store.get(uuid, deployment=deployment, operation=operation)
        cancelled = None if job.status in ENDED else await self._move_to_cancelled(uuid)
        if cancelled is None:
            raise Conflict("The job has ended already.")
        self._ends.note(cancelled)
        if not self._pool.cancel(uuid) and not cancelled.owner:  # another server that runs it still needs them
            self._ends.drop_uploads(uuid)
        return cancelled

    async def _move_to_cancelled(self, uuid: str) -> Job | None:
        async def again() -> Job | None:
            found = await self.store.get(uuid)
            return found if found.status is Status.CANCELLED else await move()

        move = partial(self.store.move, uuid, Status.CANCELLED)
        return await surely(move, again)

    async def _look_up(self, new: NewJob) -> None:
        """Remove the files of a job of which nobody knows whether it was stored, once it is known that it was not."""
        while True:
            await asyncio.sleep(LOOK_UP_S)
            with contextlib.suppress(Unavailable):
                if not await self.store.has_stored(new):
                    await asyncio.to_thread(self.files.remove, new.uuid)
                return

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
        self._ends.stop()
        self._wake.set()
        self.store.hurry(HURRY_S)
        self._pool.stop(min(self._settings.train_cancel_s, grace_s), grace_s)
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
                await self._attempt("taking jobs", self._take_all)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)

    async def _take_all(self) -> None:
        while not self._is_stopping and (free := self._runs.free(self._pool.busy)):
            self._heartbeat.is_taking = True
            try:
                if not await self._take_one(free):
                    return
            finally:
                self._heartbeat.is_taking = False

    async def _take_one(self, free: Mapping[Kind, int]) -> bool:
        """Take a job and begin it; tell whether there was one. Of what breaks in between, the heartbeat knows."""
        # The earlier run of a job that was queued again may still be ending here.
        take = partial(self.store.take, models=self.models, without=tuple(self._pool.runs))
        job = await take(self._owner.id, free, self.files.place)
        if job is None:
            return False
        if self._is_stopping:  # it was taken meanwhile, and nothing is begun any more
            owner = self._owner.id
            await self.store.move(job.uuid, Status.QUEUED, owner=owner, attempt=job.attempts, was_begun=False)
            return False
        request = await self.store.request(job)
        if request == b"":
            request = await asyncio.to_thread(self.files.request, job.uuid)
        if request is not None:  # else it was cancelled meanwhile
            self._followers.changed(job.uuid)
            self._pool.begin(msgspec.structs.replace(job, request=request))
        return True

    async def _count(self) -> None:
        self._queued = await self.store.queued()
        self.held.held = await self.store.held_bytes()
        await self._strangers.look(self._queued)

    async def _removable_deployments(self) -> frozenset[str]:
        """Return the deployments whose old jobs are for this server to remove: its own, and those of no server."""
        return await self._strangers.orphaned() | frozenset(self.models)

    async def _limit_logs(self) -> None:
        """Keep the logs of the trainings that run small; at its end each run looks at its own."""
        while True:
            for uuid in tuple(self._pool.runs):
                await asyncio.to_thread(shorten, self.files.log(uuid))
            await asyncio.sleep(LOG_LOOK_S)

    def _reaped(self, job: Job) -> None:
        self._ends.note(job)
        if job.status in ENDED and job.uuid not in self._pool.runs:
            self._ends.drop_uploads(job.uuid)

    async def _again_and_again(self, part: str, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            await self._attempt(part, work)
            await asyncio.sleep(pause_s)

    async def _attempt(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that may fail now and work the next time."""
        try:
            await work()
        except Unavailable as error:
            self._outage.begin(error)
        except Exception as error:  # the border of a task that must go on
            self._supervisor.failed(part, error)
