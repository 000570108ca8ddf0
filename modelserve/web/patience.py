"""How long a body may take to arrive: a time for all, and more for as long as it really comes.

    body_timeout_s + a second for each 16 KiB that has arrived      over: BodyTimeout, which is a 408

A limit of the whole would end a long upload on a slow line, and one of the pauses would let a client send a byte now
and then for ever; so do Apache's ``RequestReadTimeout`` and its ``MinRate``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import StreamReader

from modelserve.errors import BodyTimeout
from modelserve.stalls import Stalls

__all__ = ["MIN_BYTES_PER_S", "Waiting", "patience"]

# Slower than a telephone line of the last century with its best modem is 7 KiB/s; this is an old mobile network.
MIN_BYTES_PER_S = 16 * 1024


class Waiting:
    """The reading of one body; :meth:`cut` ends it before its time."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self.is_cut = False

    def cut(self) -> None:
        """End it: there is no room for a body that comes slowly."""
        self.is_cut = True
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())


@contextlib.asynccontextmanager
async def patience(content: StreamReader, limit_s: float, stalls: Stalls) -> AsyncIterator[Waiting]:
    """Read a body inside this block.

    Args:
        content: What is read.
        limit_s: How long it may take at least, 0 for any time.
        stalls: Tells how long the server stood still, which is not charged to the client.

    Raises:
        BodyTimeout: It has not arrived in time.
    """
    loop = asyncio.get_running_loop()
    since = loop.time() - stalls.lost_s
    timer: asyncio.TimerHandle | None = None

    def check() -> None:
        nonlocal timer
        until = since + stalls.lost_s + limit_s + content.total_bytes / MIN_BYTES_PER_S
        if until > loop.time():
            timer = loop.call_at(until, check)
        else:
            waiting.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as waiting:
            timer = loop.call_later(limit_s, check) if limit_s else None
            cutting = Waiting(waiting)
            yield cutting
    except TimeoutError:
        if not waiting.expired():
            raise
        if cutting.is_cut:
            raise BodyTimeout("The body comes too slowly for a server that has no room left for others.") from None
        raise BodyTimeout(f"The body has not arrived in the {limit_s:g} seconds that it has to begin with.") from None
    finally:
        if timer is not None:
            timer.cancel()
