"""The calls that are only to be validated: one at each worker, the others wait, and all are bounded."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from modelserve.errors import QueueFull, QueueTimeout
from modelserve.messages import Answer, Call
from modelserve.runtime.validating import CHECK_S
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, turn


def checking(it: Story, size: int = 100) -> asyncio.Task[Answer]:
    return asyncio.create_task(it.deployment.check(Call(body=b"x" * size, operation="check")))


def answer(replica: FakeReplica, place: int) -> None:
    replica.checks.answered(Answer(replica.checked[place].id, "application/json", b"{}"))


def test_a_worker_has_one_at_a_time_and_the_next_comes_when_it_has_answered() -> None:
    """Y22."""

    async def story() -> None:
        it = Story(replica := FakeReplica())
        await it.deployment.start()
        first, second = checking(it), checking(it)
        await turn()
        assert len(replica.checked) == 1
        assert it.deployment.validating_bytes == 200
        answer(replica, 0)
        await first
        await turn()
        answer(replica, 1)
        await second
        assert it.deployment.validating_bytes == 0

    run(story())


def test_one_that_is_given_up_while_it_waits_is_let_go_and_one_at_a_worker_when_that_has_answered() -> None:
    """Y22."""

    async def story() -> None:
        it = Story(replica := FakeReplica())
        await it.deployment.start()
        first, second, third = checking(it), checking(it), checking(it)
        await turn()
        for leaving in (first, second):
            leaving.cancel()
        await asyncio.wait([first, second])
        assert it.deployment.validating_bytes == 200
        answer(replica, 0)
        await turn()
        answer(replica, 1)
        assert (await third).body == b"{}"
        assert it.deployment.validating_bytes == 0

    run(story())


def test_more_than_may_wait_are_refused() -> None:
    """Y22."""

    async def story() -> None:
        it = Story(FakeReplica(), max_queue_bytes=1000)
        await it.deployment.start()
        held = [checking(it, 400), checking(it, 600)]
        await turn()
        with pytest.raises(QueueFull, match="1000 bytes"):
            await checking(it, 1)
        for each in held:
            each.cancel()

    run(story())


def test_where_the_worker_dies_all_that_wait_go_the_way_of_other_calls() -> None:
    """Y22."""

    async def story() -> None:
        it = Story(first := FakeReplica(), second := FakeReplica("m-1"))
        await it.deployment.start()
        asked = [checking(it) for _ in range(3)]
        await turn()
        first.die()
        for _ in asked:
            await it.until(lambda: second.calls or second.checked)
            while second.calls:
                second.answer(*second.calls.pop())
            while second.checked:
                second.checks.answered(Answer(second.checked.pop().id, "application/json", b"{}"))
            await turn()
        await asyncio.wait_for(asyncio.gather(*asked), 5)
        assert it.deployment.validating_bytes == 0

    run(story())


def test_a_worker_that_runs_nothing_and_does_not_answer_is_ended_and_the_next_is_asked() -> None:
    """Y22."""

    async def story() -> None:
        unhandled: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: unhandled.append(told))
        it = Story(first := FakeReplica(), second := FakeReplica("m-1"))
        await it.deployment.start()
        with pytest.raises(QueueTimeout):
            await checking(it)
        waiting = it.call("a")  # it is at the worker, which does not begin it
        await it.until(lambda: second.calls)
        assert first.ends == ["timeout"]
        second.answer(*second.calls[0])
        assert (await waiting).body == b"a"
        asked = checking(it)
        await turn()
        answer(second, 0)
        assert (await asked).body == b"{}"
        assert it.deployment.validating_bytes == 0
        gc.collect()
        assert not unhandled

    run(story())


def test_a_worker_that_runs_a_call_may_answer_later_and_is_not_ended_in_the_moment_in_which_that_is_over() -> None:
    """Y22."""

    async def story() -> None:
        it = Story(replica := FakeReplica())
        await it.deployment.start()
        for _ in range(2):
            running = it.call("a")
            await turn()
            replica.begun += 1
            asked = checking(it)
            with pytest.raises(QueueTimeout):
                await asked
            await asyncio.sleep(2 * CHECK_S)
            replica.answer(*replica.calls.pop())
            await running
            await asyncio.sleep(0.9)
            answer(replica, -1)
            await asyncio.sleep(2 * CHECK_S)
        assert not replica.ends

    run(story())
