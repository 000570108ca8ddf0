"""Says that this server lives, hears which of its jobs are its own no more, and ends those of servers that have gone.

    thread, every 5 s: Servers.beat   -> the jobs that are ours by the record; what runs beyond these was ended
                                         elsewhere, and what is ours without running is queued again
                       Servers.others -> Silence: whose beat has not changed for 20 s, by our own clock
                       Servers.reap   -> jobs of servers that have gone: lost, or queued again

It has a thread and a connection of its own, and waits neither for the server's event loop nor for what clients ask of
the database. What it hears is dealt with on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from modelserve.errors import Unavailable
from modelserve.jobs.job import Job, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.owners import Owner
from modelserve.jobs.pool import Pool
from modelserve.jobs.run import Run
from modelserve.jobs.silence import Silence
from modelserve.jobs.thread import AsyncStore
from modelserve.supervised import Supervisor

if TYPE_CHECKING:  # it loads SQLAlchemy, which the server does on a thread while its workers start
    from modelserve.jobs.servers import Servers

__all__ = ["BEAT_S", "STALE_S", "Heartbeat"]

logger = logging.getLogger(__name__)


BEAT_S = 5.0

# A server that has not been heard of for so long has gone. It misses three beats at least.
STALE_S = 20.0


class Heartbeat:
    """The heartbeat of one server, as an async context.

    ``has_beaten`` tells that others can know of this server; before, it should take no job. ``is_taking`` is to be true
    while a job is on its way from the store to the pool. ``elsewhere`` is what other servers that may live serve, None
    until that is known.

    Args:
        servers: Where it is written, on a connection of its own; it is closed at the end.
        store: Where jobs are queued again.
        owner: This server.
        pool: What it runs.
        outage: Is told how the store works.
        reaped: Called with each job that a server that has gone was running.
        serves: Gives what this server serves, for the others; called on the thread.
        heard: Called after each beat.
        beat_s: The pause between two beats.
        stale_s: After how long of silence another server has gone.
        supervisor: Keeps its thread going; one of its own by default.
    """

    def __init__(
        self,
        servers: Servers,
        store: AsyncStore,
        owner: Owner,
        pool: Pool,
        *,
        outage: Outage,
        reaped: Callable[[Job], None],
        serves: Callable[[], str] = lambda: "",
        heard: Callable[[], None] = lambda: None,
        beat_s: float = BEAT_S,
        stale_s: float = STALE_S,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._servers = servers
        self._store = store
        self._outage = outage
        self._owner = owner
        self._pool = pool
        self._reaped = reaped
        self._serves = serves
        self._heard = heard
        self._beat_s = beat_s
        self._silence = Silence(stale_s)
        self.has_beaten = False
        self.is_taking = False
        self.elsewhere: Sequence[str] | None = None
        self._strays: Mapping[str, int] = {}
        self._loop: asyncio.AbstractEventLoop
        self._is_over = threading.Event()
        self._supervisor = supervisor or Supervisor()
        self._thread = self._supervisor.thread("heartbeat", self._run)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Heartbeat:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._is_over.set()
        await asyncio.to_thread(self._thread.close)
        await asyncio.to_thread(self._servers.close)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # On the thread.

    def _run(self) -> None:
        while not self._is_over.is_set():
            due_s = time.monotonic() + self._beat_s
            try:
                self._beat()
                self._reap(due_s)
            except Unavailable as error:
                self._silence.interrupt()
                self._tell(self._outage.begin, error)
            except Exception as error:  # the border of a thread that must go on
                self._silence.interrupt()
                self._supervisor.failed("heartbeat", error)
            self._is_over.wait(max(0.0, due_s - time.monotonic()))

    def _beat(self) -> None:
        running = dict(self._pool.runs)  # before the store is asked: what is begun meanwhile may not be in its answer
        self._tell(self._compare, running, self._servers.beat(self._owner.id, self._serves()))

    def _reap(self, due_s: float) -> None:
        """End what servers were running that have gone, until the next beat is due: the rest has time."""
        others = self._servers.others(self._owner.id)
        self._silence.heard({id: other.mark for id, other in others.items()})
        dead = {id: self._owner.is_dead(id) for id in others}
        gone = {id for id in others if dead[id] or (dead[id] is None and self._silence.has_gone(id))}
        self.elsewhere = [other.serves for id, other in others.items() if id not in gone]
        for id in gone:
            if others[id].has_jobs:
                for job in self._servers.reap(id, unless_beyond=others[id].mark, is_sure=bool(dead[id])):
                    self._tell(self._note, job)
            if time.monotonic() > due_s or self._is_over.is_set():
                return

    def _tell(self, what: Callable[..., None], *given: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is left to be told
            self._loop.call_soon_threadsafe(what, *given)

    # On the loop.

    def _compare(self, running: Mapping[str, Run], ours: Mapping[str, int]) -> None:
        """Compare what runs here with what does by the record."""
        self.has_beaten = True
        self._outage.end()
        for uuid, run in running.items():
            if ours.get(uuid) != run.job.attempts and self._pool.runs.get(uuid) is run:
                self._pool.cancel(uuid)
        self._give_back(ours)
        self._heard()

    def _give_back(self, ours: Mapping[str, int]) -> None:
        """Queue again what runs here by the record alone: it was taken, and the database's answer was lost.

        What is seen so twice, since a job may just be on its way from the store to the pool.
        """
        known = self._pool.known
        strays = {} if self.is_taking else {uuid: count for uuid, count in ours.items() if uuid not in known}
        for uuid, attempt in strays.items():
            if self._strays.get(uuid) == attempt:
                task = asyncio.create_task(self._queue_again(uuid, attempt))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._strays = strays

    async def _queue_again(self, uuid: str, attempt: int) -> None:
        try:
            await self._store.move(uuid, Status.QUEUED, owner=self._owner.id, attempt=attempt, was_begun=False)
        except Unavailable as error:  # the next beats see it again
            self._outage.begin(error)
        else:
            logger.warning("a job was taken, but not begun, and is queued again", extra={"job": uuid})

    def _note(self, job: Job) -> None:
        what = "is queued again" if job.status is Status.QUEUED else "is lost"
        extra = {"deployment": job.deployment, "job": job.uuid}
        logger.warning("the server of a running job has gone, the job %s", what, extra=extra)
        self._reaped(job)
