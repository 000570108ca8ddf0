"""Says that this server lives, hears which of its jobs are its own no more, and ends those of servers that have gone.

every 5 s: Store.beat -> the uuids that are ours by the record; what runs beyond these was ended elsewhere, and what
                         is ours without running is queued again
           Store.reap -> jobs of servers that have gone: lost, or queued again
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from modelserve.errors import Unavailable
from modelserve.jobs.job import Job, Status
from modelserve.jobs.outage import Outage
from modelserve.jobs.owners import Owner
from modelserve.jobs.pool import Pool
from modelserve.jobs.thread import AsyncStore

__all__ = ["BEAT_S", "STALE_S", "Heartbeat"]

logger = logging.getLogger(__name__)


BEAT_S = 5.0

# A server that has not been heard of for so long has gone. It misses three beats at least.
STALE_S = 20.0


class Heartbeat:
    """The heartbeat of one server.

    ``has_beaten`` tells that others can know of this server; before, it should take no job.

    Args:
        store: Where it is written.
        owner: This server.
        pool: What it runs.
        outage: Is told that the store works.
        reaped: Called with each job that a server that has gone was running.
    """

    # After how long of silence another server has gone.
    stale_s = STALE_S

    def __init__(
        self, store: AsyncStore, owner: Owner, pool: Pool, *, outage: Outage, reaped: Callable[[Job], None]
    ) -> None:
        self._store = store
        self._outage = outage
        self._owner = owner
        self._pool = pool
        self._reaped = reaped
        self.has_beaten = False
        self._strays: frozenset[str] = frozenset()
        # Since when this server has been heard without a gap, and when last; it hears others since then too.
        self._since_s = self._last_s = float("-inf")

    async def beat(self) -> None:
        """Do all of it once.

        Raises:
            StoreUnavailable: The store cannot be used now.
            NoSpace: It is full.
        """
        running = set(self._pool.runs)  # before the store is asked: what is begun meanwhile may not be in its answer
        ours = await self._beat()
        for uuid in running - ours:
            self._pool.cancel(uuid)
        await self._give_back(ours)
        for job in await self._store.reap(self._owner.id, stale_s=self.stale_s, is_dead=self._is_dead):
            what = "is queued again" if job.status is Status.QUEUED else "is lost"
            extra = {"deployment": job.deployment, "job": job.uuid}
            logger.warning("the server of a running job has gone, the job %s", what, extra=extra)
            self._reaped(job)

    async def _beat(self) -> frozenset[str]:
        try:
            ours = await self._store.beat(self._owner.id)
        except Unavailable:
            self._last_s = float("-inf")
            raise
        now_s = time.monotonic()
        if now_s - self._last_s > self.stale_s / 2:
            self._since_s = now_s
        self._last_s = now_s
        self.has_beaten = True
        self._outage.end()
        return ours

    def _is_dead(self, id: str) -> bool | None:
        """Tell whether a server has gone; while the store was out of order, no server could write its heartbeat."""
        dead = self._owner.is_dead(id)
        is_steady = self._last_s - self._since_s >= self.stale_s
        return False if dead is None and not is_steady else dead

    async def _give_back(self, ours: frozenset[str]) -> None:
        """Queue again what runs here by the record alone: it was taken, and the database's answer was lost.

        What is seen so twice, since a job may just be on its way from the store to the pool.
        """
        strays = ours - self._pool.known
        for uuid in strays & self._strays:
            await self._store.move(uuid, Status.QUEUED, owner=self._owner.id)
            logger.warning("a job was taken, but not begun, and is queued again", extra={"job": uuid})
        self._strays = strays
