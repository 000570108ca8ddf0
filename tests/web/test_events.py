"""Pauses between events, without a server; the events themselves are met in tests/web/v2/test_jobs_follow.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from modelserve.web.events import with_pauses


class Spring:
    """Gives what is put into it, and knows whether it was closed."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.is_closed = False

    async def flow(self) -> AsyncIterator[int]:
        try:
            while (item := await self.items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.is_closed = True


async def test_items_come_at_once_and_pauses_between_them() -> None:
    spring, seen = Spring(), list[int | None]()
    spring.items.put_nowait(1)
    async for item in with_pauses(spring.flow(), 0.01):
        seen.append(item)
        if seen == [1, None]:
            spring.items.put_nowait(2)
        elif item == 2:
            spring.items.put_nowait(None)
    assert [item for item in seen if item is not None] == [1, 2]
    assert spring.is_closed


async def test_who_leaves_closes_what_it_waited_for() -> None:
    spring = Spring()
    async with aclosing(with_pauses(spring.flow(), 0.01)) as items:
        assert await anext(items) is None
    assert spring.is_closed


async def test_an_error_is_passed_on() -> None:
    spring = Spring()
    spring.items.put_nowait(KeyError("gone"))
    with pytest.raises(KeyError):
        await anext(with_pauses(spring.flow(), 60))
