"""Jobs that wait for what this server does not serve: those of another model are ended, of others the operator is told.

every 5 s: Store.foreign -> validated by a model that nobody serves under that name any more -> error, with a message
           Store.queued  -> for a deployment that nobody serves -> a warning that says how to see and cancel them

What another server that lives serves is its business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from modelserve.jobs.job import Job, Status
from modelserve.jobs.runs import Kind
from modelserve.jobs.thread import AsyncStore

__all__ = ["Strangers"]

logger = logging.getLogger(__name__)

# A client learns no more of the models: what they are called may be a path.
OTHER_MODEL = "Another model is served under this name now than the one that this job was submitted to."


class Strangers:
    """What waits and is not for this server.

    Args:
        store: Where the jobs are.
        models: Gives the identity of the model behind each deployment of this server.
        elsewhere: Gives what other servers serve that may live, in JSON; None while that is not known.
        ended: Called with each job that is ended.
    """

    def __init__(
        self,
        store: AsyncStore,
        models: Callable[[], Mapping[str, str]],
        elsewhere: Callable[[], Sequence[str] | None],
        ended: Callable[[Job], None],
    ) -> None:
        self._store = store
        self._models = models
        self._elsewhere = elsewhere
        self._ended = ended
        self._told: frozenset[str] = frozenset()

    async def look(self, queued: Mapping[Kind, int]) -> None:
        """Deal with those there are now, of which so many wait.

        Raises:
            StoreUnavailable: The store cannot be used now.
        """
        others = self._others()
        if others is None:
            return
        ended = True
        while ended:
            ended = any([await self._end(job, others) for job in await self._store.foreign(self._models())])
        self._tell(queued, {name for other in others for name in other})

    async def orphaned(self) -> frozenset[str]:
        """Return the names of the deployments of which there are jobs, and that no server serves now."""
        others = self._others()
        if others is None:
            return frozenset()
        served = {name for other in (self._models(), *others) for name in other}
        return await self._store.deployments() - served

    def _others(self) -> list[Mapping[str, str]] | None:
        said = self._elsewhere()
        return None if said is None else [msgspec.json.decode(text, type=dict[str, str]) for text in said if text]

    async def _end(self, job: Job, others: Sequence[Mapping[str, str]]) -> bool:
        if any(other.get(job.deployment) == job.model for other in others):
            return False
        ended = await self._store.move(job.uuid, Status.ERROR, owner="", message=OTHER_MODEL)
        if ended is None:
            return False
        extra = {"deployment": job.deployment, "job": job.uuid}
        now = self._models()[job.deployment]
        logger.warning(
            "a job was for the model %s, and %s is served under its name: it is ended", job.model, now, extra=extra
        )
        self._ended(ended)
        return True

    def _tell(self, queued: Mapping[Kind, int], elsewhere: set[str]) -> None:
        waiting = {(name, operation): count for (name, operation), count in queued.items() if count}
        served = self._models().keys() | elsewhere
        names = frozenset(name for name, _ in waiting if name not in served)
        for name, operation in sorted(waiting):
            if name in names - self._told:
                logger.warning(
                    "%d jobs wait for a deployment that no server serves: 'modelserve jobs list %s --operation %s'"
                    " shows them, and 'modelserve jobs cancel' ends one",
                    waiting[name, operation],
                    name,
                    operation.value,
                    extra={"deployment": name},
                )
        self._told = names
