"""A time in which the server stood still is charged to no call and no worker: what has arrived is read first."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.messages import Answer, Call
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, now, text, turn
from tests.test_stalls import stand_still


async def called(it: Story, worker: FakeReplica) -> asyncio.Future[Answer]:
    future = it.call("a")
    await turn()
    worker.begin()
    return future


def answer_soon(worker: FakeReplica, call: Call) -> None:
    """Have an answer read only after the timers that are due, as libuv does."""
    asyncio.get_running_loop().call_later(0.001, worker.answer, call)


@pytest.mark.parametrize("concurrent", [1, 8], ids=["in turn", "at a time"])
@pytest.mark.parametrize("for_s", [0.4, 3.0], ids=["short", "long"])
def test_an_answer_that_came_while_the_server_stood_still_is_in_time(concurrent: int, for_s: float) -> None:
    """Y23."""

    async def story() -> None:
        it = Story(worker := FakeReplica(max_concurrency=concurrent), predict_timeout_s=2.0)
        it.stalls.start()
        await it.deployment.start()
        future = await called(it, worker)
        await asyncio.sleep(1.85)
        stand_still(for_s)
        answer_soon(worker, worker.calls[0][0])
        await asyncio.sleep(5)
        assert text(future) == "a"
        assert worker.ends == []
        it.stalls.stop()

    run(story())


@pytest.mark.parametrize("concurrent", [1, 8], ids=["in turn", "at a time"])
def test_a_call_that_runs_too_long_is_ended_all_the_same(concurrent: int) -> None:
    """Y23."""

    async def story() -> None:
        it = Story(worker := FakeReplica(max_concurrency=concurrent), FakeReplica("m-1"), predict_timeout_s=2.0)
        it.stalls.start()
        await it.deployment.start()
        future = await called(it, worker)
        await asyncio.sleep(1)
        stand_still(10)
        await future
        assert code(future) == "predict_timeout"
        assert 12 <= now() <= 13
        await it.deployment.stop(0)
        it.stalls.stop()

    run(story())


@pytest.mark.parametrize("batch", [1, 4], ids=["in turn", "together"])
def test_what_a_worker_writes_of_the_calls_that_it_has_begun_gives_it_no_more_time(batch: int) -> None:
    """X7, Y29: it may write any number, and ever others."""

    async def story() -> None:
        it = Story(worker := FakeReplica(max_batch_size=batch), FakeReplica("m-1"), predict_timeout_s=2.0)
        await it.deployment.start()
        future = await called(it, worker)
        while not future.done() and now() < 30:
            worker.begun = 7 - worker.begun if worker.begun in (3, 4) else 3
            await asyncio.sleep(0.15)
        assert code(future) == "predict_timeout"
        assert now() < 5
        await it.deployment.stop(0)

    run(story())


@pytest.mark.parametrize("runs", [True, False])
def test_a_deadline_that_passed_while_the_server_stood_still_is_put_off(runs: bool) -> None:
    """Y23: a call that ran is answered, one that waited is run."""

    async def story() -> None:
        it = Story(worker := FakeReplica())
        it.stalls.start()
        await it.deployment.start()
        first = it.call("a", deadline=now() + 2)
        second = it.call("b", deadline=now() + 2)
        await turn()
        worker.begin()
        await asyncio.sleep(1)
        stand_still(3)
        answer_soon(worker, worker.calls[0][0])
        await it.until(lambda: len(worker.calls) == 2)
        assert text(first) == "a"
        (call,) = worker.calls[1]
        assert call.deadline > now()
        if runs:
            worker.answer(call)
            assert text(second) == "b"
        else:
            await second
            assert code(second) == "queue_timeout"
            assert 5 <= now() <= 6
        it.stalls.stop()

    run(story())


def test_a_worker_whose_answer_is_about_to_be_read_is_not_ended_for_a_client_that_left() -> None:
    """Y23."""

    async def story() -> None:
        it = Story(worker := FakeReplica(), kill_cancelled=True)
        it.stalls.start()
        await it.deployment.start()
        future = await called(it, worker)
        future.cancel()
        stand_still(3)
        answer_soon(worker, worker.calls[0][0])
        await asyncio.sleep(10)
        assert worker.ends == []
        it.stalls.stop()

    run(story())
