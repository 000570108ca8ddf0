"""Reads an input ahead in a thread of its own, so that neither a slow disk nor a slow pipe holds up the calls.

Source --[thread]--> a few lists of rows --[the event loop]--> take
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from modelserve.batch.rows import Row

__all__ = ["Ahead"]

# So many lists of rows are read ahead.
CHUNKS = 4


class Ahead:
    """The rows of an input, as they are there.

    ``rows`` counts those read. ``is_over`` says that all are, and ``error`` why if that is not the input's end. The
    thread is a daemon: one that waits for a pipe cannot be ended.

    Args:
        chunks: Is read by the thread alone.
        woken: Called on the event loop when there is something new.
    """

    def __init__(self, chunks: Iterator[list[Row]], woken: Callable[[], None]) -> None:
        self.rows = 0
        self.is_over = False
        self.error: Exception | None = None
        self._chunks = chunks
        self._woken = woken
        self._read: deque[list[Row]] = deque()
        self._room = threading.Semaphore(CHUNKS)
        self._is_stopped = False

    @property
    def is_done(self) -> bool:
        """Whether all rows have been taken, and no more come."""
        return self.is_over and not self._read

    def start(self) -> None:
        """Begin to read; the event loop that runs is told."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="input", daemon=True).start()

    def take(self) -> list[Row]:
        """Return the next rows, none where none are there yet."""
        if not self._read:
            return []
        self._room.release()
        return self._read.popleft()

    def stop(self) -> None:
        """Read no further than what is being read."""
        self._is_stopped = True
        self._room.release()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for chunk in self._chunks:
                self.rows += len(chunk)
                self._read.append(chunk)
                self._tell(loop)
                self._room.acquire()
                if self._is_stopped:
                    return
        except Exception as error:  # whatever it is, the run ends with it, on the other thread
            self.error = error
        self.is_over = True
        self._tell(loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            loop.call_soon_threadsafe(self._woken)
