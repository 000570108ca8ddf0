"""Lines that wait to be written, on a thread of their own, so that no writer of the log waits for its reader.

    put, from any thread, never blocks -> so many bytes at most -> thread -> write, which may take for ever

A pipe that nobody reads and a disk that stands still cost lines and nothing else. What did not fit is counted, and is
told in the log as soon as there is room again.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from modelserve.held import Bound

if TYPE_CHECKING:  # it loads asyncio, which most workers do without
    from modelserve.supervised import Supervisor

__all__ = ["LIMIT_BYTES", "Backlog", "write_lines"]

T = TypeVar("T")

# So much may wait: some thousand lines, and a hundred of the longest tracebacks.
LIMIT_BYTES = 4 * 1024**2

# So much is written at once.
CHUNK_BYTES = 64 * 1024

# What waits when the server ends is written as long as some of it is taken within this time, and all within the next.
STILL_S = 1.0
CLOSE_S = 5.0


class Backlog(Generic[T]):
    """Items that wait to be written.

    Args:
        supervisor: Runs the thread.
        part: The thread's name.
        bound: How many bytes may wait; this backlog's alone.
        write: Writes items in order and returns how many of them it could not; on the thread, it may block.
        told: Makes the item that says how many did not fit.

    Attributes:
        dropped: How many items were not written.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        part: str,
        bound: Bound,
        *,
        write: Callable[[Sequence[T]], int],
        told: Callable[[int], T],
    ) -> None:
        self.bound = bound
        self.dropped = 0
        self._write = write
        self._told = told
        self._items = deque[tuple[T, int]]()
        self._untold = 0
        self._put = self._done = 0
        self._is_closing = False
        self._lock = threading.RLock()  # a finalizer that logs may come in between
        self._there, self._written = threading.Condition(self._lock), threading.Condition(self._lock)
        self._thread = supervisor.thread(part, self._run)

    def start(self) -> None:
        """Start to write."""
        self._thread.start()

    def put(self, item: T, size: int) -> None:
        """Have an item written, which has so many bytes, or dropped where too many wait; never blocks."""
        with self._lock:
            if self._is_closing or not self.bound.take(size):
                self.dropped += 1
                self._untold += 1
                return
            self._items.append((item, size))
            self._put += 1
            self._there.notify()

    def wait(self, wait_s: float) -> bool:
        """Wait until all that was put has been written or dropped; tell whether it has."""
        with self._lock:
            target = self._put
            return self._written.wait_for(lambda: self._done >= target, wait_s)

    def close(self) -> bool:
        """Write what waits, unless it is not taken; tell whether all is written, and nothing more is ever written."""
        deadline_s = time.monotonic() + CLOSE_S
        with self._lock:
            self._is_closing = True
            self._there.notify()
        done = -1
        while not (is_over := self._thread.close(STILL_S)) and done < self._done and time.monotonic() < deadline_s:
            done = self._done
        with self._lock:
            self.dropped += len(self._items)
            self._items.clear()
        return is_over

    def _run(self) -> None:
        while taken := self._take():
            dropped = len(taken)
            try:
                dropped = self._write([item for item, _ in taken])
            finally:
                self._note(taken, dropped)
            if untold := self._owed():
                self._write([self._told(untold)])

    def _take(self) -> list[tuple[T, int]]:
        """Wait for the next items; none are the end."""
        with self._lock:
            self._there.wait_for(lambda: self._items or self._is_closing)
            taken, size = [], 0
            while self._items and size < CHUNK_BYTES:
                taken.append(self._items.popleft())
                size += taken[-1][1]
            return taken

    def _note(self, taken: Sequence[tuple[T, int]], dropped: int) -> None:
        with self._lock:
            self.bound.give(sum(size for _, size in taken))
            self.dropped += dropped
            self._done += len(taken)
            self._written.notify_all()

    def _owed(self) -> int:
        """Return how many did not fit, once, when half of the room is free."""
        with self._lock:
            if self.bound.room < self.bound.limit // 2:
                return 0
            untold, self._untold = self._untold, 0
            return untold


def write_lines(end: int, lines: Sequence[bytes]) -> int:
    """Write lines to a descriptor, waiting for its reader, and return how many could not be written whole."""
    data = memoryview(b"".join(lines))
    written = 0
    try:
        while written < len(data):
            written += _write_some(end, data[written:])
    except OSError:  # full, or its reader has gone
        pass
    left = len(data) - written
    lost = 0
    for line in reversed(lines):
        if left <= 0:
            break
        left -= len(line)
        lost += 1
    return lost


def _write_some(end: int, data: memoryview) -> int:
    try:
        return os.write(end, data)
    except BlockingIOError:  # somebody who has this pipe too has made it non-blocking
        poll = select.poll()
        poll.register(end, select.POLLOUT)
        poll.poll()
        return 0
