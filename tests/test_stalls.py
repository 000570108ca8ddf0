"""What counts as standing still, and that nobody is charged for it."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.stalls import LATE_S, TICK_S, Stalls
from tests.runtime.fakes import JumpingLoop, run


def stand_still(seconds: float) -> None:
    """Let the loop's time pass without the loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    loop.now_s += seconds


def test_a_loop_that_turns_loses_nothing_and_one_that_stood_still_knows_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        stalls = Stalls()
        stalls.start()
        await asyncio.sleep(100)
        stand_still(LATE_S / 2)
        await asyncio.sleep(1)
        assert stalls.lost_s == 0
        stand_still(30)
        assert 30 <= stalls.lost_s <= 30 + TICK_S, "no timer has ticked since"
        await asyncio.sleep(100)
        assert 30 <= stalls.lost_s <= 30 + TICK_S
        stalls.stop()

    run(story())
    assert "the server stood still for 30" in caplog.text


def test_one_that_is_not_started_never_stands_still() -> None:
    async def story() -> None:
        stalls = Stalls()
        stand_still(30)
        assert stalls.lost_s == 0
        stalls.stop()

    run(story())


@pytest.mark.parametrize("before_s", [0.1, 5.0, 9.9])
def test_a_delay_waits_as_long_again_as_the_server_stood_still(before_s: float) -> None:
    async def story() -> None:
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        stalls = Stalls()
        stalls.start()
        stalls.call_later(10, called.set)
        dropped = stalls.call_later(10, pytest.fail)
        await asyncio.sleep(before_s)
        stand_still(30)
        dropped.cancel()
        await called.wait()
        assert 40 <= loop.time() <= 40 + 2 * TICK_S
        stalls.stop()

    run(story())


def test_a_timeout_does_too() -> None:
    async def story() -> None:
        stalls = Stalls()
        stalls.start()
        async with stalls.timeout(10):
            stand_still(30)
            await asyncio.sleep(9)
        with pytest.raises(TimeoutError):
            async with stalls.timeout(10):
                await asyncio.sleep(11)
        stalls.stop()

    run(story())
