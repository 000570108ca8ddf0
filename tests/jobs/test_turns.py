"""The reads of one client wait for each other, and those of others do not wait for them."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.jobs.turns import Turns


async def test_a_client_has_so_many_reads_at_once_and_another_is_let_in_beside_them() -> None:
    """Y3."""
    turns, go_on, running = Turns(2), asyncio.Event(), list[str]()

    async def read(client: str) -> None:
        async with turns.of(client):
            running.append(client)
            await go_on.wait()

    tasks = [asyncio.ensure_future(read(client)) for client in ["greedy"] * 50 + ["modest"]]
    while "modest" not in running:
        await asyncio.sleep(0)
    assert running == ["greedy", "greedy", "modest"]
    go_on.set()
    await asyncio.gather(*tasks)
    assert (len(running), len(turns)) == (51, 0)


async def test_one_that_leaves_while_it_waits_takes_no_turn() -> None:
    turns, go_on = Turns(1), asyncio.Event()

    async def read() -> None:
        async with turns.of("a"):
            await go_on.wait()

    first, second = asyncio.ensure_future(read()), asyncio.ensure_future(read())
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await first
    assert len(turns) == 0
