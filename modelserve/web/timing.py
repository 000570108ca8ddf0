"""Notes when a call was dealt out and answered, for those who want to know it of each request.

It stands around a deployment only where somebody does, so that it costs nobody else anything.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar

from modelserve.messages import Answer, Call, Description
from modelserve.runtime.fleet import Cache
from modelserve.runtime.interface import Answering

__all__ = ["TIMES", "Timed", "TimedCache", "Times"]


class Times:
    """When what happened to one request, in seconds of ``time.perf_counter``, 0 for what did not happen.

    ``came_s`` is when its call came to the queue, ``dealt_s`` when a worker got it, ``answered_s`` when the worker
    had answered. A call that was given to a second worker has the times of that one.
    """

    __slots__ = ("_future", "answered_s")

    def __init__(self) -> None:
        self.answered_s = 0.0
        self._future: asyncio.Future[Answer] | None = None

    @property
    def came_s(self) -> float:
        return float(getattr(self._future, "came_s", 0.0))

    @property
    def dealt_s(self) -> float:
        return float(getattr(self._future, "dealt_s", 0.0))

    def watch(self, future: asyncio.Future[Answer]) -> None:
        """Note the times of a call."""
        self._future = future
        future.add_done_callback(self._answered)

    def _answered(self, future: asyncio.Future[Answer]) -> None:
        self.answered_s = time.perf_counter()


# Set by who wants to know, for the request that is being handled.
TIMES = ContextVar[Times | None]("TIMES", default=None)


class Timed:
    """A deployment, or what stands around one, whose calls' times are noted."""

    def __init__(self, deployment: Answering) -> None:
        self._deployment = deployment

    @property
    def name(self) -> str:
        return self._deployment.name

    @property
    def description(self) -> Description | None:
        return self._deployment.description

    def check_room(self, size: int) -> None:
        self._deployment.check_room(size)

    def call(self, call: Call) -> asyncio.Future[Answer]:
        future = self._deployment.call(call)
        times = TIMES.get()
        if times is not None:
            times.watch(future)
        return future


class TimedCache(Timed):
    """A cache whose calls' times are noted, and those of the calls that skip it."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache)
        self.deployment = Timed(cache.deployment)
