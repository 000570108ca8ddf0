"""Replaces workers that live: one that has served long enough or grown too large, or all of them for a reload.

    prepare the new beside the old -> warm -> it takes the place -> the old finishes its calls -> stop

The old one serves until the new one is warm, so no call waits or fails for it. A new worker that cannot start changes
nothing. Each worker is recycled on its own: one successor is started at a time, and no more workers finish their last
calls than the deployment has places. A reload overtakes all of that, and leaves no worker that is not of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sys
from collections.abc import AsyncIterator, Callable, Sequence

from modelserve.messages import Failed
from modelserve.runtime.dealer import Dealer
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.lane import Lane
from modelserve.runtime.limits import Limits
from modelserve.runtime.memory import rss_bytes
from modelserve.runtime.slot import Fresh, MakeReplica, Owner, Slot
from modelserve.stalls import Stalls
from modelserve.supervised import Supervisor

__all__ = ["Rotation"]

logger = logging.getLogger(__name__)

# How often workers are weighed where there is a limit to their memory.
WEIGH_S = 2.0

# After a new worker could not be started, the next attempt at recycling waits this long.
RETRY_S = 30.0

# One successor after the other is started; one that takes longer than this does not hold up the next.
TURN_S = 60.0

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
        supervisor: Keeps the weighing going.
        stalls: Tells how long the server stood still, which is not charged to workers that finish their calls.
    """

    def __init__(
        self,
        owner: Owner,
        slots: Sequence[Slot],
        dealer: Dealer,
        limits: Limits,
        *,
        supervisor: Supervisor,
        stalls: Stalls,
    ) -> None:
        self._supervisor = supervisor
        self._stalls = stalls
        self._supervisor.expect("recycling")
        self._owner = owner
        self._slots = slots
        self._dealer = dealer
        self._limits = limits
        self.reloads = 0
        self._is_closed = False
        self._reloading = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._recycling: dict[Lane, asyncio.Task[None]] = {}
        # Recycled workers that finish their calls, the first to leave first, and until when they may.
        self._leaving: dict[Lane, asyncio.Timeout] = {}
        self._left = asyncio.Event()
        self._weighing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Weigh the workers from now on, where there is a limit."""
        if self._limits.max_rss_bytes:
            self._weighing = self._supervisor.task("weighing workers", self._weigh)

    async def close(self) -> None:
        """Renew no more, and end the workers that are being started for it. Idempotent."""
        self._is_closed = True
        if self._weighing is not None:
            self._weighing.cancel()
        await self._drop_recycling()
        await asyncio.gather(*(slot.end_renewals() for slot in self._slots))

    async def stop(self) -> None:
        """As :meth:`close`; nor wait for those that leave, which are stopped by the owner."""
        await self.close()
        tasks = list(self._recycling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def limit(self, lane: Lane) -> None:
        """Set after how many calls a new worker is recycled."""
        if self._limits.max_calls:
            share = random.uniform(1 - JITTER, 1 + JITTER)
            lane.call_limit = max(1, round(self._limits.max_calls * share))

    def recycle(self, lane: Lane, why: str) -> None:
        """Replace a worker by a fresh one soon; never blocks. While a reload does so anyway, nothing happens."""
        if self._is_closed or self._reloading.locked() or lane in self._recycling or lane.closing:
            return
        lane.call_limit = sys.maxsize
        self._recycling[lane] = asyncio.create_task(self._recycle(lane, why))

    async def reload(
        self, makers: Sequence[MakeReplica], grace_s: float, taken_over: Callable[[], None] = lambda: None
    ) -> None:
        """Replace every worker by one that another maker makes: all of them, or none.

        Args:
            makers: One for each slot.
            grace_s: How long the old ones may take to finish; what is left then is run again by the new ones.
            taken_over: Called once all that comes goes to the new ones alone.

        Raises:
            StartFailed: A new one could not be started; the old ones stay.
        """
        async with self._reloading:
            await self._drop_recycling()
            fresh = await self._prepare_all(makers)
            for slot, new in zip(self._slots, fresh, strict=True):
                slot.adopt(self._owner, new)
            ours = {new.replica for new in fresh}
            lanes = [lane for replica, lane in self._dealer.lanes.items() if replica not in ours]
            for lane in lanes:
                self._dealer.close(lane, "stopped")
            self.reloads += 1  # only now: what is called from here on goes to the new ones alone
            taken_over()
            overtaken = [slot.end_overtaken() for slot in self._slots]
            await asyncio.gather(*overtaken, *(self._retire(lane, grace_s) for lane in lanes))

    async def _drop_recycling(self) -> None:
        """Give up what is recycled and has no successor yet."""
        tasks = [task for lane, task in self._recycling.items() if not lane.closing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            self._check([])  # what was ended because the server stops did not fail to start
            raise
        return fresh

    def _check(self, fresh: list[Fresh]) -> None:
        if self._is_closed:
            raise StartFailed(Failed("load", "The server is shutting down.", ""))
        if any(new.is_lost for new in fresh):
            raise StartFailed(Failed("warm", "A new worker ended soon after its model was warm.", ""))

    async def _recycle(self, lane: Lane, why: str) -> None:
        try:
            while not await self._succeed_in_turn(lane, why):  # noqa: ASYNC110 - no event would tell
                await asyncio.sleep(RETRY_S)
            if lane.closing:
                await self._leave(lane)
        except Exception as error:  # the border of a task
            self._supervisor.failed("recycling", error, what="a worker could not be recycled", **self._about(lane))
        finally:
            del self._recycling[lane]
            lane.call_limit = lane.answered_calls  # where it serves on, it is to be recycled after its next answer

    async def _succeed_in_turn(self, lane: Lane, why: str) -> bool:
        await self._have_room()
        async with self._turn():
            return await self._succeed(lane, why)

    async def _succeed(self, lane: Lane, why: str) -> bool:
        """Start the successor of a worker and give it the place; return whether there was no trouble."""
        slot = next((slot for slot in self._slots if slot.replica is lane.replica), None)
        if slot is None or lane.closing or lane.replica not in self._dealer.lanes:
            return True  # it is gone or going already
        try:
            fresh = await slot.prepare(self._owner)
        except StartFailed as error:
            message = error.failed.message
            logger.warning("worker cannot be recycled, it serves on: %s", message, extra=self._about(lane))
            return False
        if slot.replica is lane.replica:
            slot.adopt(self._owner, fresh)
            self._dealer.close(lane, "recycled")
            logger.info("worker is recycled, %s", why, extra=self._about(lane))
        else:  # it died meanwhile and was replaced
            await slot.discard(fresh)
        return True

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Start one successor at a time, but do not wait for ever for the one before."""
        async with contextlib.AsyncExitStack() as stack:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await stack.enter_async_context(self._starting)
            yield

    async def _have_room(self) -> None:
        """Wait until not too many leave. Where they do, the one that left first has ``grace_s`` more."""
        while len(self._leaving) >= len(self._slots):
            first = next(iter(self._leaving.values()))
            if first.when() is None:
                first.reschedule(asyncio.get_running_loop().time() + self._limits.grace_s)
            self._left.clear()
            await self._left.wait()

    async def _leave(self, lane: Lane) -> None:
        """Let a recycled worker finish its calls, for as long as there is room, and stop it."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    self._leaving[lane] = limit
                    await self._dealer.emptied(lane)
            await lane.replica.stop(END_WAIT_S)
        finally:
            del self._leaving[lane]
            self._left.set()

    async def _retire(self, lane: Lane, within_s: float) -> None:
        """Let a worker that is given no more calls finish those it has, and stop it."""
        with contextlib.suppress(TimeoutError):
            async with self._stalls.timeout(within_s):
                await self._dealer.emptied(lane)
        await lane.replica.stop(END_WAIT_S)

    async def _weigh(self) -> None:
        limit = self._limits.max_rss_bytes
        while True:
            await asyncio.sleep(WEIGH_S)
            for lane in list(self._dealer.open):
                if lane not in self._recycling and (size := rss_bytes(lane.replica.pid)) > limit:
                    self.recycle(lane, f"as it had grown to {size // 1024**2} MiB")

    def _about(self, lane: Lane) -> dict[str, str]:
        return {"deployment": self._owner.name, "worker": lane.replica.name}
