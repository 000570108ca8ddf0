"""The threads for work on files: bounded, and fair to what they have been given."""

from __future__ import annotations

import asyncio
import threading

import pytest

from modelserve.errors import QueueFull
from modelserve.file_threads import FileThreads


def test_work_that_no_thread_can_begin_soon_is_refused() -> None:
    """X13."""

    async def ask() -> None:
        threads, gate = FileThreads("test", threads=1, waiting=1), threading.Event()
        first, second = (asyncio.create_task(threads.run(gate.wait, 20)) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await threads.run(gate.wait, 20)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        third = asyncio.create_task(threads.run(gate.wait, 20))
        await asyncio.sleep(0)
        gate.set()
        assert (await first, await third) == (True, True)
        threads.close()

    asyncio.run(ask())


def test_a_result_that_nobody_takes_any_more_is_dropped_once_it_is_there() -> None:
    async def ask() -> None:
        threads, begun, gate = FileThreads("test", threads=1), threading.Event(), threading.Event()
        dropped: list[str] = []

        def work() -> str:
            begun.set()
            gate.wait(20)
            return "a descriptor"

        asking = asyncio.create_task(threads.run(work, drop=dropped.append))
        await asyncio.to_thread(begun.wait, 20)
        asking.cancel()
        await asyncio.sleep(0.01)
        assert not asking.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert dropped == ["a descriptor"]
        threads.close()

    asyncio.run(ask())


def test_an_error_of_the_work_is_raised() -> None:
    async def ask() -> None:
        threads = FileThreads("test", threads=1)
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        threads.close()

    asyncio.run(ask())


async def test_work_that_nobody_waits_for_is_done_away_from_the_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Y26."""
    threads, goes_on, over = FileThreads("test", threads=1), threading.Event(), asyncio.Event()
    threads.begin(goes_on.wait, 10, then=over.set)
    assert not over.is_set()
    goes_on.set()
    async with asyncio.timeout(10):
        await over.wait()
    over.clear()
    threads.begin(lambda: 1 / 0, then=over.set)
    async with asyncio.timeout(10):
        await over.wait()
    assert "work on files has failed" in caplog.text
    threads.close()
    done: list[str] = []
    threads.begin(done.append, "work", then=lambda: done.append("then"))
    assert done == ["work", "then"]
