"""A call that has no answer yet: the future that its caller awaits, with what the deployment knows of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from modelserve.errors import ModelserveError
from modelserve.messages import Answer, Call, Failure
from modelserve.runtime.interface import Replica
from modelserve.runtime.streams import Stream

__all__ = ["Pending"]


class Pending(asyncio.Future[Answer]):
    """The future of a call's answer. One that is cancelled tells at once that its client has left.

    It is the future itself, and not an object beside it with a callback, because both are made for every call. What few
    calls need has its default on the class for the same reason. ``number`` counts the calls of the lane it was sent to,
    ``replica`` is where it was sent, None while it waits. ``came_s`` is when it came, by ``time.perf_counter``, and
    ``dealt_s`` when it was sent; it is not there before.
    """

    __slots__ = ("call", "came_s", "dealt_s", "left", "number", "replica", "size")

    call: Call
    came_s: float
    dealt_s: float
    left: Callable[[Pending], None]
    number: int
    replica: Replica | None
    size: int

    # One of those that may have been the death of a worker: it is run alone now.
    alone = False
    # How many workers may have died of it, and with how many it has been when they died.
    deaths = 0
    times = 0
    # When it came and when it was sent, in the loop's time, where anybody needs it.
    since = 0.0
    sent_s = 0.0
    # When it had run too long and its worker was told to cancel it, 0 for never.
    overran_s = 0.0
    # How many parts of its stream the watch has seen.
    seen_parts = 0
    stream: Stream | None = None
    timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, call: Call, size: int, left: Callable[[Pending], None], loop: asyncio.AbstractEventLoop) -> Pending:
        """Return the future of a call that was not sent yet.

        This is no constructor, since the class has one in C, and another around it takes half as long again: 0.34
        against 0.22 us by timeit.

        Args:
            call: What was asked.
            size: The bytes of it that wait in memory.
            left: Called with this when the client has left.
            loop: The event loop.
        """
        pending = cls(loop=loop)
        pending.call = call
        pending.came_s = time.perf_counter()
        pending.size = size
        pending.left = left
        pending.replica = None
        return pending

    def cancel(self, msg: Any = None) -> bool:
        """Give the call up: its client has left."""
        has_left = super().cancel(msg)
        if has_left:
            self.release()
            self.left(self)
        return has_left

    def fail(self, error: ModelserveError) -> None:
        """Answer with a failure, or end the stream with it; what has its whole answer keeps it."""
        failure = Failure(error.status, error.code, error.message, log=error.log)
        self.release()
        if self.stream is not None:
            self.stream.fail(failure)
        elif not self.done():
            self.set_result(Answer(self.call.id, failure=failure))

    @property
    def is_settled(self) -> bool:
        """Whether nobody waits for anything more of it."""
        if self.stream is not None:
            return self.stream.is_ended or self.stream.is_closed
        return self.done()

    def release(self) -> None:
        """Drop the timer of its deadline."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
