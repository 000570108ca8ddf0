"""A connection to PostgreSQL of which something must be heard: a statement is not waited for without end.

The database ends a statement that takes too long, and TCP notices a machine that is gone. Neither helps where something
between the two takes every packet and passes none on, or where the database itself has been stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg

__all__ = ["HeardConnection"]

T = TypeVar("T")

# Of a pause that is longer, this process has itself slept: what has arrived meanwhile is read before it is called late.
PAUSE_S = 1.0


class HeardConnection(psycopg.Connection[Any]):
    """A connection that is closed, with an OperationalError, where nothing comes or goes for ``silence_s`` seconds."""

    silence_s = 60.0
    # What all connections of a database are granted now, where that is less.
    most_s: Callable[[], float] = staticmethod(lambda: math.inf)

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **keywords: Any) -> T:
        """Wait for a statement, as the base class does, unless the other side is silent for too long."""
        return super().wait(self._heard(gen), *arguments, **keywords)

    def _heard(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Pass a statement's steps on, and count for how long none was ready."""
        silent_s, last_s = 0.0, time.monotonic()
        try:
            step = next(gen)
            while True:
                ready = yield step
                now_s = time.monotonic()
                silent_s = 0.0 if ready else silent_s + min(now_s - last_s, PAUSE_S)
                last_s = now_s
                if silent_s > min(self.silence_s, self.most_s()):
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the database has been silent for {silent_s:.0f} s")
                step = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
