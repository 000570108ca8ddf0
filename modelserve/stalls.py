"""Notices that the server itself stood still, and keeps it from being charged to calls, clients and workers.

    a timer that ticks late -> lost_s grows       a time that is over -> how much of it was lost? -> wait as long again

A server stands still where it is stopped and continued, where the machine is too busy, or where something holds up its
event loop. What has come meanwhile is not read yet then, and timers may be called before it is: whoever would be called
late has to be given the time to be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

__all__ = ["Delay", "Mark", "Stalls"]

logger = logging.getLogger(__name__)

TICK_S = 0.25

# The loop of a busy server is late by less; what is later than this stood still since its last tick.
LATE_S = 0.25

# What has come while the server stood still is read within this.
READ_S = 0.05

# The log tells of it from here on.
TELL_S = 1.0


class Mark(NamedTuple):
    """A moment: the loop's time, and how much had been lost by then."""

    now_s: float
    lost_s: float


class Stalls:
    """How long the event loop of a server stood still. One that is not started never does.

    Attributes:
        lost_s: For how many seconds in all, up to now.
    """

    def __init__(self) -> None:
        self._lost_s = 0.0
        self._last_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._last_s = self._loop.time()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def lost_s(self) -> float:
        return self._lost_s + self._late_s()

    def mark(self) -> Mark:
        """Return the present moment."""
        return Mark(asyncio.get_running_loop().time(), self.lost_s)

    def owed_s(self, seconds: float, since: Mark) -> float:
        """Return how much longer to wait for something that had so many seconds since a moment; 0 where it is over."""
        now = self.mark()
        lost_s = now.lost_s - since.lost_s
        return max(seconds - (now.now_s - since.now_s - lost_s), READ_S) if lost_s > 0 else 0.0

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Delay:
        """Have something called after so many seconds in which the server did not stand still."""
        return Delay(self, asyncio.get_running_loop(), seconds, lambda: callback(*args))

    @contextlib.asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """Do as ``asyncio.timeout``, but for the time in which the server stood still.

        Raises:
            TimeoutError: The block was not left in time.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            delay = self.call_later(seconds, lambda: limit.reschedule(loop.time()))
            try:
                yield
            finally:
                delay.cancel()

    def _late_s(self) -> float:
        """Return how long the loop has stood still since the last tick, 0 where the next is not late."""
        if self._loop is None or self._timer is None:
            return 0.0
        since_s = self._loop.time() - self._last_s
        return since_s if since_s > TICK_S + LATE_S else 0.0

    def _tick(self) -> None:
        assert self._loop is not None
        late_s = self._late_s()
        self._lost_s += late_s
        if late_s > TELL_S:
            logger.warning("the server stood still for %.1f seconds, which count for no call and no worker", late_s)
        self._last_s = self._loop.time()
        self._timer = self._loop.call_later(TICK_S, self._tick)


class Delay:
    """A call that is to come; made by :meth:`Stalls.call_later`."""

    def __init__(
        self, stalls: Stalls, loop: asyncio.AbstractEventLoop, seconds: float, callback: Callable[[], object]
    ) -> None:
        self._stalls = stalls
        self._loop = loop
        self._callback = callback
        self._wait(seconds)

    def cancel(self) -> None:
        """Do not call it, and let go of it."""
        self._handle.cancel()
        self._callback = _nothing

    def _wait(self, seconds: float) -> None:
        self._handle = self._loop.call_later(seconds, self._due, seconds, self._stalls.mark())

    def _due(self, seconds: float, since: Mark) -> None:
        if owed_s := self._stalls.owed_s(seconds, since):
            self._wait(owed_s)
        else:
            callback, self._callback = self._callback, _nothing
            callback()


def _nothing() -> None:
    """Take the place of a callback that is not wanted any more."""
