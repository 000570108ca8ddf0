"""Replaces workers that live: one that has served long enough or grown too large, or all of them for a reload.

    prepare the new beside the old -> warm -> it takes the place -> the old finishes its calls -> stop

The old one serves until the new one is warm, so no call waits or fails for it. Only one such change runs at a time in a
deployment. A new worker that cannot start changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sys
from collections.abc import Sequence

from modelserve.messages import Failed
from modelserve.runtime.dealer import Dealer
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.lane import Lane
from modelserve.runtime.limits import Limits
from modelserve.runtime.memory import rss_bytes
from modelserve.runtime.slot import Fresh, MakeReplica, Owner, Slot

__all__ = ["Rotation"]

logger = logging.getLogger(__name__)

# How often workers are weighed where there is a limit to their memory.
WEIGH_S = 2.0

# After a new worker could not be started, the next attempt at recycling waits this long.
RETRY_S = 30.0

# An old worker with nothing to do gets this long to end by itself.
END_WAIT_S = 1.0

# Workers that started together are not to be recycled together: each has its own limit, a tenth around the setting.
JITTER = 0.1


class Rotation:
    """Renews the workers of one deployment. ``reloads`` counts how often the workers of a reload have taken over.

    Args:
        owner: The deployment.
        slots: The places of its workers.
        dealer: Has the lanes of its workers.
        limits: Say when a worker is recycled.
    """

    def __init__(self, owner: Owner, slots: Sequence[Slot], dealer: Dealer, limits: Limits) -> None:
        self._owner = owner
        self._slots = slots
        self._dealer = dealer
        self._limits = limits
        self._turn = asyncio.Lock()
        self.reloads = 0
        self._is_stopped = False
        self._wanted: dict[Lane, str] = {}
        self._recycling: asyncio.Task[None] | None = None
        self._weighing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Weigh the workers from now on, where there is a limit."""
        if self._limits.max_rss_bytes:
            self._weighing = asyncio.create_task(self._weigh())

    async def stop(self) -> None:
        """Renew no more; a worker that is being started for recycling is ended."""
        self._is_stopped = True
        tasks = [task for task in (self._recycling, self._weighing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def limit(self, lane: Lane) -> None:
        """Set after how many calls a new worker is recycled."""
        if self._limits.max_calls:
            share = random.uniform(1 - JITTER, 1 + JITTER)
            lane.call_limit = max(1, round(self._limits.max_calls * share))

    def recycle(self, lane: Lane, why: str) -> None:
        """Replace a worker by a fresh one as soon as no other is being replaced; never blocks."""
        lane.call_limit = sys.maxsize
        self._wanted.setdefault(lane, why)
        if self._recycling is None or self._recycling.done():
            self._recycling = asyncio.create_task(self._recycle_wanted())

    async def reload(self, makers: Sequence[MakeReplica], grace_s: float) -> None:
        """Replace every worker by one that another maker makes: all of them, or none.

        Args:
            makers: One for each slot.
            grace_s: How long the old ones may take to finish; what is left then is run again by the new ones.

        Raises:
            StartFailed: A new one could not be started; the old ones stay.
        """
        async with self._turn:
            fresh = await self._prepare_all(makers)
            old = [slot.replica for slot in self._slots]
            for slot, new in zip(self._slots, fresh, strict=True):
                slot.adopt(self._owner, new)
            lanes = [self._dealer.lanes[replica] for replica in old if replica in self._dealer.lanes]
            for lane in lanes:
                self._dealer.close(lane, "stopped")
            self.reloads += 1  # only now: what is called from here on goes to the new ones alone
            await asyncio.gather(*(self._retire(lane, "stopped", grace_s) for lane in lanes))

    async def _prepare_all(self, makers: Sequence[MakeReplica]) -> list[Fresh]:
        fresh: list[Fresh] = []
        try:
            self._check(fresh)
            for slot, make_replica in zip(self._slots, makers, strict=True):
                fresh.append(await slot.prepare(self._owner, make_replica))
                self._check(fresh)
        except BaseException:
            for slot, new in zip(self._slots, fresh, strict=False):
                await slot.discard(new)
            raise
        return fresh

    def _check(self, fresh: list[Fresh]) -> None:
        if self._is_stopped:
            raise StartFailed(Failed("load", "The server is shutting down.", ""))
        if any(new.is_lost for new in fresh):
            raise StartFailed(Failed("warm", "A new worker ended soon after its model was warm.", ""))

    async def _recycle_wanted(self) -> None:
        while self._wanted:
            lane, why = next(iter(self._wanted.items()))
            async with self._turn:
                is_done = await self._recycle(lane, why)
            if lane.closing:  # out of turn: its last call may take as long as it likes, and a reload is not to wait
                await self._retire(lane, "recycled", None)
            del self._wanted[lane]
            if not is_done:
                lane.call_limit = lane.answered_calls  # wanted again with its next answer
                await asyncio.sleep(RETRY_S)

    async def _recycle(self, lane: Lane, why: str) -> bool:
        slot = next((slot for slot in self._slots if slot.replica is lane.replica), None)
        if slot is None or lane.closing or lane.replica not in self._dealer.lanes:
            return True  # it is gone or going already
        extra = {"deployment": self._owner.name, "worker": lane.replica.name}
        try:
            fresh = await slot.prepare(self._owner)
        except StartFailed as error:
            logger.warning("worker cannot be recycled, it serves on: %s", error.failed.message, extra=extra)
            return False
        if slot.replica is lane.replica:
            slot.adopt(self._owner, fresh)
            self._dealer.close(lane, "recycled")
            logger.info("worker is recycled, %s", why, extra=extra)
        else:  # it died meanwhile and was replaced
            await slot.discard(fresh)
        return True

    async def _retire(self, lane: Lane, reason: str, within_s: float | None) -> None:
        """Give a worker no more calls, let it finish those it has, and stop it."""
        self._dealer.close(lane, reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._dealer.emptied(lane)
        await lane.replica.stop(END_WAIT_S)

    async def _weigh(self) -> None:
        limit = self._limits.max_rss_bytes
        while True:
            await asyncio.sleep(WEIGH_S)
            for lane in list(self._dealer.open):
                if lane not in self._wanted and (size := rss_bytes(lane.replica.pid)) > limit:
                    self.recycle(lane, f"as it had grown to {size // 1024**2} MiB")
