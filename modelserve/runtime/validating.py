"""The calls of one deployment that are only to be validated: each worker has one at a time, beside those that it runs.

    run(call) -> waits for a worker that has none -> Replica.check -> Answer

What waits here, or is at a worker, is counted in calls and bytes and bounded, for its bodies are held in memory. A call
that is given up while it waits is let go at once; one that is at a worker only when the worker has answered it.

A field of the model's own may hang, and its worker would then answer nothing more. A worker that runs no call and has
not answered within ``CHECK_S`` is ended; one that runs one may still keep Python to itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from modelserve.errors import QueueFull
from modelserve.messages import Answer, Call
from modelserve.runtime.dealer import Dealer
from modelserve.runtime.interface import Replica
from modelserve.runtime.lane import Lane
from modelserve.runtime.queue import size_of
from modelserve.stalls import Stalls

__all__ = ["CHECK_S", "Validating"]

# A worker whose model keeps Python to itself for longer than this cannot look at the arguments of a new job.
CHECK_S = 30.0

# Nobody is late who is found so only once: a call that has just ended may have been in the way.
AGAIN_S = 1.0


class Validating:
    """Has workers validate calls. ``calls`` and ``bytes`` count those that wait or are at a worker.

    Args:
        dealer: Has the lanes of those that may be asked.
        max_calls: How many there may be.
        max_bytes: How many bytes of them there may be, 0 for no limit.
        stalls: Tells how long the server stood still.
    """

    def __init__(self, dealer: Dealer, max_calls: int, max_bytes: int = 0, *, stalls: Stalls) -> None:
        self.calls = 0
        self.bytes = 0
        self._dealer = dealer
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._stalls = stalls
        self._busy: set[Replica] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def check_room(self, size: int) -> None:
        """Check that a call of so many bytes may be validated too. A body above the limit passes while there is none.

        Raises:
            QueueFull: It may not.
        """
        if self.calls >= self._max_calls:
            raise QueueFull(f"The arguments of {self.calls} jobs are being checked already; try again later.")
        if self._max_bytes and self.calls and self.bytes + size > self._max_bytes:
            raise QueueFull(f"Arguments of {self.bytes} bytes are being checked already; try again later.")

    async def run(self, call: Call) -> Answer | None:
        """Return what a worker says of a call, None where there is no worker to ask.

        Raises:
            QueueFull: There are too many already.
            WorkerDied: The worker ended before it had answered.
        """
        size = size_of(call)
        self.check_room(size)
        self.calls += 1
        self.bytes += size
        try:
            lane = await self._turn()
            if lane is None:
                self._gone(size)
                return None
            future = lane.replica.check(call)
        except BaseException:
            self._gone(size)
            raise
        self._busy.add(lane.replica)
        future.add_done_callback(partial(self._ended, lane.replica, size))
        looking = self._stalls.call_later(CHECK_S, self._look, lane, future)
        future.add_done_callback(lambda _: looking.cancel())
        return await asyncio.shield(future)  # its end is the worker's answer, whoever waits

    def wake(self) -> None:
        """A worker has come or gone: who waits looks again."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    async def _turn(self) -> Lane | None:
        """Wait for a worker that validates nothing; return None where there is no worker."""
        while self._dealer.open:
            free = [lane for lane in self._dealer.open if lane.replica not in self._busy]
            if free:
                return min(free, key=len)
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        return None

    def _look(self, lane: Lane, future: asyncio.Future[Answer], before: int = -1) -> None:
        """End a worker that does not answer though it runs nothing, and has begun nothing since it was looked at."""
        if future.done() or lane.is_ending:
            return
        begun = -1 if lane.running() else lane.replica.begun
        if begun == before != -1:
            detail = f"ended because it had not looked at the arguments of a job within {CHECK_S:g} s"
            self._dealer.end(lane, "timeout", detail)
        else:
            self._stalls.call_later(AGAIN_S, self._look, lane, future, begun)

    def _ended(self, replica: Replica, size: int, future: asyncio.Future[Answer]) -> None:
        if not future.cancelled():
            future.exception()  # looked at, since its client may have left
        self._busy.discard(replica)
        self._gone(size)
        self.wake()

    def _gone(self, size: int) -> None:
        self.calls -= 1
        self.bytes -= size
