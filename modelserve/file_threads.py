"""Threads for work on files that may be slow, so that nothing but such work waits for a disk.

asyncio's own pool writes uploads and looks up the names of hosts: whoever lists a folder of 20,000 files, or reads a
disk that has fallen asleep, must not hold these up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from modelserve.errors import QueueFull
from modelserve.threads import Threads

__all__ = ["FileThreads"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class FileThreads:
    """Some threads, and a bound for what waits for them.

    Args:
        name: What they do, for whoever lists the threads of the process.
        threads: How many there are at most; all but the first begin when needed.
        waiting: How much may wait for one of them; 0 for any number.
    """

    def __init__(self, name: str, *, threads: int, waiting: int = 0) -> None:
        self._pool = Threads(threads, f"modelserve-{name}")
        self._most = threads + waiting if waiting else 0
        self._count = 0

    async def run(self, work: Callable[..., T], *arguments: object, drop: Callable[[T], object] | None = None) -> T:
        """Run work on one of them and return what it returns.

        Cancelled, it takes back what no thread has begun, and waits for the end of all else: descriptors that the work
        has may be closed afterwards.

        Args:
            work: What blocks.
            arguments: Its arguments.
            drop: What is done to its result where nobody takes it any more.

        Raises:
            QueueFull: Too much waits already.
        """
        if self._most and self._count >= self._most:
            raise QueueFull("Too many files are asked for at the same time.")
        self._count += 1
        try:
            return await _ended(self._pool.submit(work, *arguments), drop)
        finally:
            self._count -= 1

    def begin(self, work: Callable[..., object], *arguments: object, then: Callable[[], None]) -> None:
        """Have work done that nobody waits for; never fails, and blocks only where they are closed.

        Args:
            work: What blocks, and tells of its failures itself.
            arguments: Its arguments.
            then: Called in the event loop once it is over, however it ended.
        """
        loop = asyncio.get_running_loop()
        try:
            begun = self._pool.submit(work, *arguments)
        except RuntimeError:  # they are closed
            work(*arguments)
            then()
            return

        def end(done: Future[object]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                logger.error("work on files has failed", exc_info=error)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(then)

        begun.add_done_callback(end)

    def close(self) -> None:
        """Begin nothing more; what runs goes on to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _ended(begun: Future[T], drop: Callable[[T], object] | None) -> T:
    future = asyncio.wrap_future(begun)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if begun.cancel():
            raise
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if not future.cancelled() and future.exception() is None and drop is not None:
            drop(future.result())
        raise
