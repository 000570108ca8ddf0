"""Which deaths count against a call that waits: those that it may have caused, and no others."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.messages import Answer, Call
from modelserve.runtime.fate import MAX_TIMES, fates
from modelserve.runtime.lane import Lane
from modelserve.runtime.pending import Pending
from tests.runtime.fakes import FakeReplica, describe, run
from tests.runtime.story import Story, code, text, turn


def test_one_client_that_leaves_again_and_again_costs_its_batch_mates_nothing() -> None:
    """Y27: where cancel_running is kill."""

    async def story() -> None:
        workers = [FakeReplica(f"m-{number}", max_batch_size=8) for number in range(6)]
        it = Story(*workers, kill_cancelled=True)
        await it.deployment.start()
        it.call("first")
        mates = it.calls("abcd")
        for worker in workers[:5]:
            leaving = it.call("leaves")
            await it.until(lambda worker=worker: worker.calls)  # type: ignore[misc]
            if worker is workers[0]:
                worker.begin()
                worker.answer(*worker.calls[0])
                await turn()
            assert len(worker.calls[-1]) == 5, "one batch"
            worker.begin(5)
            leaving.cancel()
            await it.until(lambda worker=worker: worker.ends)  # type: ignore[misc]
        await it.until(lambda: workers[5].calls)
        workers[5].begin(4)
        workers[5].answer(*workers[5].calls[0])
        assert [text(mate) for mate in mates] == list("abcd")

    run(story())


async def sent_as_one(it: Story, worker: FakeReplica, calls: int) -> list[asyncio.Future[Answer]]:
    """Make calls that are sent in one frame, of which none has begun: to a fast worker that is busy meanwhile."""
    for _ in range(60):
        quick = it.call("quick")
        await turn()
        worker.begin()
        worker.answer(*worker.calls[-1], busy_s=0.00005)
        await quick
    it.call("first")
    futures = [it.call(str(number)) for number in range(calls)]
    worker.begin()
    worker.answer(*worker.calls[-1], busy_s=0.00005)
    await turn()
    assert len(worker.calls[-1]) == calls, "one frame"
    return futures


@pytest.mark.parametrize("how", ["overrun", "death"])
def test_calls_behind_several_bad_ones_are_run_at_last(how: str) -> None:
    """Y27: they had not begun when the workers ended."""

    async def story() -> None:
        workers = [FakeReplica(f"m-{number}") for number in range(6)]
        it = Story(*workers, predict_timeout_s=0.1 if how == "overrun" else 0.0)
        await it.deployment.start()
        *bad, good = await sent_as_one(it, workers[0], 6)
        for worker, future in zip(workers, bad, strict=False):
            await it.until(lambda worker=worker: worker.calls)  # type: ignore[misc]
            worker.begin()
            if how == "death":
                worker.die()
            await future
        await it.until(lambda: workers[5].calls)
        workers[5].answer(*workers[5].calls[0])
        assert text(good) == "5"
        assert {code(future) for future in bad} == {"predict_timeout" if how == "overrun" else "worker_died"}

    run(story())


def test_a_call_that_was_with_ever_so_many_workers_when_they_died_fails_at_last() -> None:
    """Y27: nothing is run again for ever, whoever is to blame."""

    async def story() -> None:
        def made(number: int) -> Pending:
            return Pending.of(Call(id=number), 0, lambda pending: None, asyncio.get_running_loop())

        waits = made(0)
        for number in range(1, MAX_TIMES + 1):
            replica = FakeReplica()
            lane, bad = Lane(replica, describe()), made(number)
            lane.send([bad, waits])
            replica.begin()
            failed, again = fates(lane, "signal")
            assert (failed, again) == (([bad, waits], []) if number == MAX_TIMES else ([bad], [waits]))

    run(story())
