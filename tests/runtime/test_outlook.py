"""Calls for which no worker will come in time are refused at once, and those that wait already too."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from modelserve.errors import NotReady
from modelserve.messages import Answer
from modelserve.runtime.outlook import BARREN_S, DYING_S, PATIENT_S
from modelserve.runtime.status import Status
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, now, text, turn


def test_a_call_whose_deadline_is_before_the_next_worker_is_refused_at_once_and_another_waits() -> None:
    """X22."""

    async def story() -> None:
        it = Story(first := FakeReplica(start_s=6), again := FakeReplica("m-0", start_s=6))
        await it.deployment.start()
        first.die()
        with pytest.raises(NotReady, match="none will be there in time"):
            it.call("a", deadline=now() + 3)
        waits = it.call("b", deadline=now() + 10)
        await it.until(lambda: again.calls)
        again.answer(*again.calls[0])
        assert text(waits) == "b"

    run(story())


def test_the_calls_that_wait_when_the_last_worker_dies_are_refused_where_none_comes_in_time() -> None:
    """X22."""

    async def story() -> None:
        it = Story(first := FakeReplica(start_s=6), FakeReplica("m-0", start_s=6))
        await it.deployment.start()
        it.call("runs")
        short, long, ever = (it.call("b", deadline=now() + 3), it.call("c", deadline=now() + 20), it.call("d"))
        await turn()
        first.begin()
        first.die()
        assert code(short) == "not_ready"
        assert not long.done()
        assert not ever.done()
        assert it.deployment.status_report().queue_calls == 2

    run(story())


def test_a_model_that_takes_long_to_start_refuses_until_it_is_nearly_there() -> None:
    """X22."""

    async def story() -> None:
        it = Story(first := FakeReplica(start_s=100), again := FakeReplica("m-0", start_s=100))
        await it.deployment.start()
        first.die()
        with pytest.raises(NotReady):
            it.call("a")
        await asyncio.sleep(100 - PATIENT_S + 1)
        waits = it.call("b")
        await it.until(lambda: again.calls)
        again.answer(*again.calls[0])
        assert text(waits) == "b"

    run(story())


def test_a_start_that_takes_longer_than_ever_does_not_keep_calls_for_ever() -> None:
    """X22."""

    async def story() -> None:
        it = Story(first := FakeReplica(), FakeReplica("m-0", start_s=10_000))
        await it.deployment.start()
        first.die()
        waits = it.call("a")
        await waits
        assert code(waits) == "not_ready"
        assert now() == pytest.approx(PATIENT_S, abs=2)
        assert it.deployment.status is Status.RESTARTING

    run(story())


def test_where_workers_die_without_an_answer_who_waits_behind_others_is_refused() -> None:
    """X22: a storm of deadly calls."""

    async def story() -> None:
        workers = [FakeReplica(f"m-{number}", start_s=1) for number in range(20)]
        it = Story(*workers, restart_budget=1000)
        await it.deployment.start()
        futures = [it.call(str(number)) for number in range(12)]
        for number in range(3):
            await it.until(lambda number=number: workers[number].calls)  # type: ignore[misc]
            workers[number].begin()
            workers[number].die()
        assert [code(future) for future in futures[:3]] == ["worker_died"] * 3
        refused = [future for future in futures if future.done() and code(future) == "not_ready"]
        assert len(refused) >= 5
        assert not futures[3].done(), "the next one has its turn"
        while it.deployment.status is Status.RESTARTING and len([f for f in futures if not f.done()]) < 8:
            try:
                futures.append(it.call("more"))
            except NotReady:
                break
        else:
            raise AssertionError("none was refused")
        assert it.deployment.status is Status.RESTARTING

    run(story())


def test_no_call_waits_long_where_each_worker_dies_of_the_call_before() -> None:
    """X22: every third answers once."""

    async def story() -> None:
        workers = [FakeReplica(f"m-{number}", start_s=1) for number in range(60)]
        it = Story(*workers, restart_budget=1000)
        await it.deployment.start()
        longest = 0.0
        asked: list[tuple[float, asyncio.Future[Answer]]] = []
        for worker in workers[:30]:
            for _ in range(3):
                with contextlib.suppress(NotReady):
                    asked.append((now(), it.call("x")))
            waited = 0
            while not worker.calls and waited < 20_000:
                await asyncio.sleep(0.001)
                waited += 1
                for since, future in list(asked):
                    if future.done():
                        longest = max(longest, now() - since)
                        asked.remove((since, future))
            worker.begin()
            worker.die()
        assert 0 < longest <= max(DYING_S, BARREN_S) + 2

    run(story())
