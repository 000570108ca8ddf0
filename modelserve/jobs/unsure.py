"""Finds out what became of a change where the connection broke between the commit and the answer to it.

first() --StoreUnsure--> again(), until the store answers -> what either returned
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from modelserve.errors import StoreUnsure, Unavailable

__all__ = ["UNSURE_S", "surely"]

T = TypeVar("T")

# A client waits for so long to be told what became of its request. A database that was restarted is back by then.
UNSURE_S = 10.0

PAUSE_S = 0.25


async def surely(first: Callable[[], Awaitable[T]], again: Callable[[], Awaitable[T]]) -> T:
    """Make a change of the store, and find out what became of it where nobody can say.

    Args:
        first: Makes the change.
        again: Looks whether it was made, makes it where it was not, and returns what ``first`` would have.

    Raises:
        StoreUnsure: It cannot be found out now.
        StoreUnavailable: The change was not made, as other errors of ``first`` say too.
    """
    end_s, work = time.monotonic() + UNSURE_S, first
    while True:
        try:
            return await work()
        except Unavailable as error:
            if isinstance(error, StoreUnsure):
                work = again
            elif work is first:
                raise
            if time.monotonic() > end_s:
                raise StoreUnsure(error.message, log=error.log) from error
        await asyncio.sleep(PAUSE_S)
