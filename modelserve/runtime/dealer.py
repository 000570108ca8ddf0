"""Deals waiting calls out to the workers that have room.

Once per turn of the event loop, what waits is dealt out, so a worker that becomes free takes everything that has
gathered meanwhile, up to what it may hold, and batches form under load without a timer. Only where ``batch_wait_s`` is
set does a free worker wait for more, and never longer than that since the oldest call came.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback

from modelserve.errors import ModelserveError
from modelserve.messages import Answers
from modelserve.metrics import DeploymentMetrics
from modelserve.runtime.interface import Replica
from modelserve.runtime.lane import Lane
from modelserve.runtime.pending import Pending
from modelserve.runtime.queue import Queue

__all__ = ["Dealer"]

logger = logging.getLogger(__name__)

# Timers of the loop have a resolution of a millisecond.
TICK_S = 0.001

# Where dealing failed as it never should, it is tried again after so long.
AGAIN_S = 0.1

NOT_SENT = "The server could not hand this call to a worker; its log says why."


class Dealer:
    """Holds the lanes of one deployment, and sends what waits to those that are open.

    Args:
        queue: Where calls wait.
        metrics: Told how many calls went out together, and how long each had waited.
        batch_wait_s: How long a free worker of a model that batches waits for a batch to fill.
    """

    def __init__(self, queue: Queue, metrics: DeploymentMetrics, batch_wait_s: float = 0.0) -> None:
        self.lanes: dict[Replica, Lane] = {}
        self.open: list[Lane] = []
        self._queue = queue
        self._observe_size = metrics.batch_size.observe
        self._observe_wait = metrics.queue_time.observe
        self._batch_wait_s = batch_wait_s
        self._loop: asyncio.AbstractEventLoop
        self._is_dealing = False
        self._last_dealt = 1
        self._gathering: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deal on this loop from now on."""
        self._loop = loop

    @property
    def is_idle(self) -> bool:
        """Whether no call waits or is at a worker."""
        return not self._queue.calls and not any(len(lane) for lane in self.lanes.values())

    def add(self, lane: Lane) -> None:
        """Deal to this lane too."""
        self.lanes[lane.replica] = lane
        self.open.append(lane)
        self.soon()

    def close(self, lane: Lane, reason: str) -> None:
        """Deal no more to this lane, whose worker is about to end; what is at it may still be answered."""
        lane.closing = lane.closing or reason
        if lane in self.open:
            self.open.remove(lane)

    def end(self, lane: Lane, reason: str, detail: str) -> None:
        """Have the worker of a lane end at once, and deal no more to it."""
        lane.is_ending = True
        self.close(lane, reason)
        lane.replica.end(reason, detail)

    async def emptied(self, lane: Lane) -> None:
        """Wait until a closed lane's calls are answered, or its worker has ended."""
        if len(lane) and lane.replica in self.lanes:
            lane.emptied = lane.emptied or asyncio.Event()
            await lane.emptied.wait()

    def remove(self, replica: Replica) -> Lane | None:
        """Take out the lane of a worker that has ended, if it had one."""
        lane = self.lanes.pop(replica, None)
        if lane is not None:
            self.close(lane, "")
            if lane.emptied is not None:
                lane.emptied.set()
        return lane

    async def idle(self) -> None:
        """Wait until no call waits or is at a worker."""
        self._idle = asyncio.Event()
        self.soon()
        await self._idle.wait()

    def came(self) -> None:
        """A call came. One that comes alone need not wait for others of this turn of the loop."""
        if self._last_dealt == 1 and not self._is_dealing and any(not len(lane) for lane in self.open):
            self._deal()
        else:
            self.soon()

    def answered(self, lane: Lane, answers: Answers) -> None:
        """Take what a worker answered; it has room for more now."""
        lane.answered(answers)
        self.freed(lane)

    def freed(self, lane: Lane) -> None:
        """A lane may have room now, or be empty."""
        if self._queue.calls or self._idle is not None:
            self.soon()
        if lane.emptied is not None and not len(lane):
            lane.emptied.set()

    def soon(self) -> None:
        """Deal once at the end of this turn of the loop, so that all of its calls go out together."""
        if not self._is_dealing:
            self._is_dealing = True
            self._loop.call_soon(self._deal)

    def _deal(self) -> None:
        """Deal out all that there is room for. It never raises: nobody else would deal out what waits."""
        self._is_dealing = False
        try:
            while self._queue.calls and self.open:
                lane, room = self._freest()
                if not room or (self._batch_wait_s and lane.batches and self._gathers(room)):
                    break
                if not (batch := self._queue.take(room, lane.max_bytes - lane.bytes)):
                    break
                self._send(lane, batch)
            if self._idle is not None and self.is_idle:
                self._idle.set()
        except Exception:
            logger.exception("calls could not be dealt out to workers; they wait, and it is tried again")
            self._loop.call_later(AGAIN_S, self._deal)

    def _send(self, lane: Lane, batch: list[Pending]) -> None:
        self._last_dealt = len(batch)
        now = time.perf_counter()
        for pending in batch:
            pending.dealt_s = now
        try:
            lane.send(batch)
        except Exception:
            self._send_one_by_one(lane, batch)
        self._observe_size(len(batch))
        for pending in batch:
            self._observe_wait(now - pending.came_s)

    def _send_one_by_one(self, lane: Lane, batch: list[Pending]) -> None:
        """Send each call of a frame that could not be sent by itself, and answer those that cannot be."""
        for pending in batch:
            try:
                lane.send([pending])
            except Exception:  # whatever it is, its client must not wait for ever
                pending.fail(ModelserveError(NOT_SENT, log=traceback.format_exc()))

    def _gathers(self, room: int) -> bool:
        """Tell whether what waits should wait for more, and see to it that it does not wait for ever."""
        oldest = self._queue.oldest()
        if oldest is None or oldest.alone or oldest.deaths or self._queue.calls >= room:
            return False
        due = oldest.since + self._batch_wait_s
        if self._loop.time() + TICK_S > due:
            return False
        if self._gathering is None:
            self._gathering = self._loop.call_at(due, self._gathered)
        return True

    def _gathered(self) -> None:
        self._gathering = None
        self._deal()

    def _freest(self) -> tuple[Lane, int]:
        """Return the open lane with the fewest calls at it that has room, and how much; with none, any and 0."""
        waiting = self._queue.calls
        if len(self.open) == 1:
            return self.open[0], self.open[0].room(waiting)
        lanes = [(len(lane), index, lane) for index, lane in enumerate(self.open) if lane.room(waiting)]
        if not lanes:
            return self.open[0], 0
        lane = min(lanes)[2]
        return lane, lane.room(waiting)
