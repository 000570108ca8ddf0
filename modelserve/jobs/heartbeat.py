"""Says that this server lives, hears which of its jobs are its own no more, and ends those of servers that have gone.

every 5 s: Store.beat -> the uuids that are ours by the record; what runs beyond these was ended elsewhere
           Store.reap -> jobs of servers that have gone: lost, or queued again
"""

from __future__ import annotations

import logging
from collections.abc import Callable

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

    def __init__(
        self, store: AsyncStore, owner: Owner, pool: Pool, *, outage: Outage, reaped: Callable[[Job], None]
    ) -> None:
        self._store = store
        self._outage = outage
        self._owner = owner
        self._pool = pool
        self._reaped = reaped
        self.has_beaten = False

    async def beat(self) -> None:
        """Do all of it once.

        Raises:
            StoreUnavailable: The store cannot be used now.
            NoSpace: It is full.
        """
        running = set(self._pool.runs)  # before the store is asked: what is begun meanwhile may not be in its answer
        ours = await self._store.beat(self._owner.id)
        self.has_beaten = True
        self._outage.end()
        for uuid in running - ours:
            self._pool.cancel(uuid)
        for job in await self._store.reap(self._owner.id, stale_s=STALE_S, is_dead=self._owner.is_dead):
            what = "is queued again" if job.status is Status.QUEUED else "is lost"
            extra = {"deployment": job.deployment, "job": job.uuid}
            logger.warning("the server of a running job has gone, the job %s", what, extra=extra)
            self._reaped(job)
