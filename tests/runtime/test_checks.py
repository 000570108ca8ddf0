"""Calls whose arguments are checked beside those that run: by a deployment on fake replicas, and by real workers."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from modelserve.errors import NotReady, QueueTimeout, WorkerDied
from modelserve.messages import Answer, Call
from modelserve.runtime.checks import Checks
from modelserve.runtime.process import LocalReplica
from modelserve.runtime.validating import CHECK_S
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, now, text, turn
from tests.runtime.workers import Heard, ask


def checking(it: Story) -> asyncio.Task[Answer]:
    return asyncio.create_task(it.deployment.check(Call(body=b"a", operation="check")))


def test_the_worker_with_the_least_to_do_is_asked_however_busy_all_are() -> None:
    async def story() -> None:
        it = Story(busy := FakeReplica(), idle := FakeReplica("m-1"), workers=2)
        await it.deployment.start()
        it.calls("ab")
        await turn()
        future = checking(it)
        await turn()
        (call,) = [*busy.checked, *idle.checked]
        (asked,) = [replica for replica in (busy, idle) if replica.checked]
        asked.checks.answered(Answer(call.id, "application/json", b"{}"))
        assert (await future).body == b"{}"

    run(story())


def test_one_that_dies_meanwhile_gives_the_call_to_the_next_as_any_other() -> None:
    async def story() -> None:
        it = Story(first := FakeReplica(), second := FakeReplica("m-1"))
        await it.deployment.start()
        future = checking(it)
        await turn()
        first.die()
        await it.until(lambda: second.calls)
        second.answer(*second.calls[0])
        await future
        assert text(future) == "a"

    run(story())


def test_while_no_worker_is_there_it_waits_as_any_other() -> None:
    async def story() -> None:
        it = Story(first := FakeReplica(), second := FakeReplica("m-1", start_s=5))
        await it.deployment.start()
        first.die()
        future = checking(it)
        await it.until(lambda: second.calls)
        second.answer(*second.calls[0])
        assert (await future).body == b"a"

    run(story())


@pytest.mark.parametrize("deadline_s", [0.0, 5.0])
def test_workers_that_find_no_time_for_it_are_not_waited_for_for_ever(deadline_s: float) -> None:
    async def story() -> None:
        it = Story(FakeReplica())
        await it.deployment.start()
        before, deadline = now(), time.monotonic() + deadline_s if deadline_s else 0.0
        with pytest.raises(QueueTimeout):
            await it.deployment.check(Call(operation="check", deadline=deadline))
        assert now() - before == pytest.approx(deadline_s or CHECK_S, abs=1)

    run(story())


def test_a_deployment_that_is_not_ready_checks_nothing() -> None:
    async def story() -> None:
        it = Story(FakeReplica(start_s=5))
        starting = asyncio.create_task(it.deployment.start())
        await turn()
        with pytest.raises(NotReady):
            await checking(it)
        await starting

    run(story())


async def test_who_waits_for_a_worker_that_has_ended_is_told() -> None:
    checks = Checks()
    early, late, given_up = checks.ask(1), checks.ask(2), checks.ask(3)
    given_up.cancel()
    checks.answered(Answer(1))
    checks.answered(Answer(3))
    checks.lost()
    assert (await early).id == 1
    for future in (late, checks.ask(4)):
        with pytest.raises(WorkerDied):
            await future


async def test_a_real_worker_checks_while_it_runs_and_fails_what_it_leaves(replica: LocalReplica, heard: Heard) -> None:
    await replica.start(heard)
    replica.send([ask(1, "sleep", n=300)])
    answer = await asyncio.wait_for(replica.check(msgspec.structs.replace(ask(2), operation="check")), 30)
    assert (answer.id, answer.failure, heard.answers) == (2, None, {})
    replica.kill()
    with pytest.raises(WorkerDied):
        await asyncio.wait_for(replica.check(msgspec.structs.replace(ask(3), operation="check")), 30)
