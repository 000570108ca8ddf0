"""A streamed answer on its way from a worker to its client: parts in, parts out, and word of what was read.

    Part from the worker -> Stream.feed -> async for part in stream -> the client
                            More to the worker <- every few parts read

A worker sends no more parts than it was allowed, of which a large one counts as several. So a slow client holds a few
parts in memory, and never a whole answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable

from modelserve.messages import Answer, Failure, Part
from modelserve.runtime.interface import FIRST_PARTS, weight_of

__all__ = ["Stream", "Streamed", "discard"]

# More is sent for so many parts at once: half of what may be on the way, so that the worker seldom waits for it.
MORE_PARTS = FIRST_PARTS // 2


class Stream:
    """The parts of one streamed answer, to be read once with ``async for`` and closed whatever happens.

    The last part has ``last`` set; where the answer ends uncleanly it has a ``failure`` too, and it may hold data that
    tells the client of it. Nothing comes after it.

    Args:
        call_id: The call that is answered.
        more: Tells the worker that so many more parts may be sent.
        left: Tells that nobody reads on.
    """

    def __init__(self, call_id: int, more: Callable[[int], None], left: Callable[[], None]) -> None:
        self._call_id = call_id
        self._more = more
        self._left = left
        self._parts: deque[Part] = deque()
        self._read = 0
        self._coming: asyncio.Future[None] | None = None
        self.fed = 0
        self.allowed = FIRST_PARTS
        self.is_ended = False
        self.is_closed = False

    @property
    def is_held(self) -> bool:
        """Whether the worker waits for a client that is there: as many parts are unread as it may send."""
        return not self.is_closed and self.fed >= self.allowed

    def feed(self, part: Part) -> None:
        """Take the next part from the worker."""
        self.fed += weight_of(part.data)
        self.is_ended = self.is_ended or part.last
        if not self.is_closed:
            self._parts.append(part)
            self._wake()

    def fail(self, failure: Failure) -> None:
        """End the answer uncleanly, unless it has ended; what has come before is still read."""
        if not self.is_ended:
            self.feed(Part(self._call_id, last=True, failure=failure))

    def close(self) -> None:
        """Read no further; a worker that still sends is told to stop. Idempotent, and never blocks."""
        if self.is_closed:
            return
        self.is_closed = True
        self._parts.clear()
        self._wake()
        if not self.is_ended:
            self._left()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Part:
        while not self._parts:
            if self.is_ended or self.is_closed:
                raise StopAsyncIteration
            self._coming = asyncio.get_running_loop().create_future()
            await self._coming
        part = self._parts.popleft()
        self._read += weight_of(part.data)
        if self._read >= MORE_PARTS and not self.is_ended:
            self.allowed += self._read
            self._more(self._read)
            self._read = 0
        return part

    def _wake(self) -> None:
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(None)


class Streamed(Answer):
    """An answer whose body follows as ``parts``; it never crosses the process border in this form."""

    parts: Stream | None = None


def discard(answer: Answer) -> None:
    """Let go of an answer that nobody takes: close its stream, and remove what it has left on disk."""
    if isinstance(answer, Streamed) and answer.parts is not None:
        answer.parts.close()
    if answer.file is not None and answer.file.delete:
        with contextlib.suppress(OSError):
            os.unlink(answer.file.path)
