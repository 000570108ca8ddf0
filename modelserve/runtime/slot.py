"""A slot is one worker's place in a deployment: it starts the worker, replaces it when it has died, and renews it.

    start -> warm -> lost -> back off -> start -> ...          prepare -> adopt: the next beside the present one

The first replacement comes at once; while workers keep dying young, the pause doubles up to some seconds, and beyond
the deployment's budget of replacements nothing is started until its minute is over.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol

from modelserve.messages import Description, Failed
from modelserve.runtime.budget import Budget, Gpus
from modelserve.runtime.interface import Listener, Replica, StartFailed

__all__ = ["Fresh", "MakeReplica", "Owner", "Slot"]

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0

# A worker that lived this long did not die of its start, so the next one is started without a pause again.
GROWN_UP_S = 30.0

# Returns a replica that is not started yet. The number counts the workers that were started beside their predecessor,
# whose name they cannot have.
MakeReplica = Callable[[int], Replica]


class Owner(Listener, Protocol):
    """A listener that is also told of warm workers."""

    @property
    def name(self) -> str:
        """The deployment's name."""

    def warm(self, replica: Replica, description: Description) -> None:
        """A worker is warm."""

    def failed(self, failed: Failed) -> None:
        """A worker could not start."""

    def replacing(self, reason: str) -> None:
        """A worker is started in place of one that is gone; the reason is that of its :class:`Exit`, or "start"."""

    def exhausted(self, why: str) -> None:
        """A worker is gone and is not replaced for now."""


class Fresh:
    """A worker that is about to be warm or is, and does not serve yet."""

    def __init__(self, make_replica: MakeReplica, generation: int) -> None:
        self.make_replica = make_replica
        self.generation = generation
        self.replica = make_replica(generation)
        self.description: Description
        self.is_lost = False


class Slot:
    """One worker's place.

    ``status`` is "starting", "warm", "waiting" (for the next start), "failed" or "down"; ``name`` is that of its latest
    worker. ``start_s`` is how long it took to be warm, and ``early_deaths`` how many in a row died young.

    Args:
        make_replica: Makes the workers for this place.
        gpu: The GPU they run on, "" for none.
    """

    def __init__(self, make_replica: MakeReplica, gpu: str = "") -> None:
        self.gpu = gpu
        self.name = ""
        self.status = "starting"
        self.replica: Replica | None = None
        self._make_replica = make_replica
        self._generation = 0
        self._last_generation = 0
        self._coming: list[Fresh] = []
        self._gone = asyncio.Event()
        self._reason = "start"
        self._warm_since: float | None = None
        self.early_deaths = 0
        self.start_s = 0.0
        self._next_s = 0.0  # when the next one is started, or the present start has begun

    async def start(self, owner: Owner) -> Failed | None:
        """Start a worker; return None once it is warm, or why it could not start, which is logged here.

        One that is overtaken by a renewal is ended, and how its start went changes nothing here.
        """
        generation = self._generation
        self.status = "starting"
        self._warm_since = None
        self._next_s = asyncio.get_running_loop().time()
        fresh = Fresh(self._make_replica, generation)
        self.name = fresh.replica.name
        try:
            await self._warm_up(owner, fresh)
        except StartFailed as error:
            if generation != self._generation:  # of no matter: a renewal has this place
                return None
            self.status = "failed"
            self._reason = "start"
            self._note_gone()
            self._log_failure(owner, fresh.replica, error.failed)
            owner.failed(error.failed)
            return error.failed
        if generation == self._generation:
            self.start_s = asyncio.get_running_loop().time() - self._next_s
            self.adopt(owner, fresh)
        else:  # a renewal was quicker
            await self.discard(fresh)
        return None

    async def prepare(self, owner: Owner, make_replica: MakeReplica | None = None) -> Fresh:
        """Start the next worker beside the present one and return it once it is warm, to be adopted or discarded.

        Args:
            owner: Whom it answers to.
            make_replica: Makes it, and those that come after it; by default what made the present one.

        Raises:
            StartFailed: It could not be started; the present one is not harmed.
        """
        self._last_generation += 1
        fresh = Fresh(make_replica or self._make_replica, self._last_generation)
        await self._warm_up(owner, fresh)
        return fresh

    def adopt(self, owner: Owner, fresh: Fresh) -> None:
        """Let a warm worker take this place. The one that had it goes on until its owner retires it."""
        self._coming.remove(fresh)
        self._make_replica, self._generation = fresh.make_replica, fresh.generation
        self.replica = fresh.replica
        self.name = fresh.replica.name
        self.status = "warm"
        self._warm_since = asyncio.get_running_loop().time()
        self._gone.clear()
        owner.warm(fresh.replica, fresh.description)

    async def end_overtaken(self) -> None:
        """End what is still being started for a generation that is over."""
        overtaken = [fresh for fresh in self._coming if fresh.generation < self._generation]
        await asyncio.gather(*(fresh.replica.stop(0) for fresh in overtaken))

    async def end_renewals(self) -> None:
        """End what was prepared, or is about to be, to take the place of the present one."""
        renewals = [fresh for fresh in self._coming if fresh.generation > self._generation]
        await asyncio.gather(*(fresh.replica.stop(0) for fresh in renewals))

    async def discard(self, fresh: Fresh) -> None:
        """End a worker that was not adopted; where this is cancelled, :meth:`stop` ends it."""
        if fresh in self._coming:
            await fresh.replica.stop(0)
            self._coming.remove(fresh)

    async def keep(self, owner: Owner, budget: Budget, gpus: Gpus) -> None:
        """Replace the worker each time it is gone, until cancelled; on a GPU that has failed, once it is forgiven."""
        while True:
            await self._gone.wait()
            if self.gpu in gpus.failed:
                self.status = "down"
                owner.exhausted(f"GPU {self.gpu} has failed")
                await gpus.forgiven(self.gpu)
                continue
            self.status = "waiting"
            await asyncio.sleep(max(0.0, self._next_s - asyncio.get_running_loop().time()))
            await self._allowed(owner, budget)
            if self._gone.is_set():  # else a renewal was quicker
                owner.replacing(self._reason)
                await self.start(owner)

    def lost(self, replica: Replica, reason: str) -> None:
        """Note that a worker has died, if it was this slot's, and of what."""
        if replica is self.replica:
            self._reason = reason
            self._note_gone()
        for fresh in self._coming:
            fresh.is_lost = fresh.is_lost or fresh.replica is replica

    def due_s(self) -> float:
        """Return in how many seconds the next worker will probably be warm, where there is none."""
        if self.status == "down":
            return math.inf
        return max(0.0, self._next_s + self.start_s - asyncio.get_running_loop().time())

    async def stop(self, wait_s: float) -> None:
        """End the workers."""
        replicas = [fresh.replica for fresh in self._coming]
        if self.replica is not None:
            replicas.append(self.replica)
        await asyncio.gather(*(replica.stop(wait_s) for replica in replicas))

    async def _warm_up(self, owner: Owner, fresh: Fresh) -> None:
        self._coming.append(fresh)
        try:
            fresh.description = await fresh.replica.start(owner)
            if fresh.is_lost:
                raise StartFailed(Failed("warm", "The worker ended as soon as its model was warm.", ""))
        except BaseException:
            self._coming.remove(fresh)
            raise

    def _note_gone(self) -> None:
        self._gone.set()  # first: whatever fails, the worker is replaced
        self._next_s = asyncio.get_running_loop().time() + self._next_pause_s()

    async def _allowed(self, owner: Owner, budget: Budget) -> None:
        while wait_s := budget.wait_s():
            owner.exhausted("its workers keep dying")
            await asyncio.sleep(wait_s)

    def _next_pause_s(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._warm_since is not None and now - self._warm_since > GROWN_UP_S:
            self.early_deaths = 0
        pause_s = FIRST_PAUSE_S * 2 ** min(self.early_deaths - 1, 10) if self.early_deaths else 0.0
        self.early_deaths += 1
        return min(pause_s, LONGEST_PAUSE_S)

    def _log_failure(self, owner: Owner, replica: Replica, failed: Failed) -> None:
        extra = {"deployment": owner.name, "worker": replica.name, "traceback": failed.traceback}
        logger.error("model could not start (%s): %s", failed.stage, failed.message, extra=extra)
