"""Ctrl-C as something to wait for, instead of an exception in the middle of anything."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator

__all__ = ["INTERRUPTED", "answer", "interrupts"]

# What a shell reports for a program that SIGINT ended.
INTERRUPTED = 130


@contextlib.contextmanager
def interrupts() -> Iterator[asyncio.Queue[None]]:
    """Yield a queue that gets an item for each Ctrl-C inside the block."""
    queue = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, queue.put_nowait, None)
    try:
        yield queue
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def answer() -> str:
    """Return the next line from standard input, "" at its end; unlike a thread that reads, it can be cancelled."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()
