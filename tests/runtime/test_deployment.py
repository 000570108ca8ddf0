"""One deployment on fake replicas: its queue, who gets what, and what becomes of calls when workers die."""

from __future__ import annotations

import asyncio
import logging

import pytest

from modelserve.errors import NotReady, QueueFull, Stopping
from modelserve.runtime.deployment import Status
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, text, turn


def test_before_its_first_worker_is_warm_calls_are_refused() -> None:
    async def story() -> None:
        it = Story(FakeReplica(start_s=5))
        starting = asyncio.create_task(it.deployment.start())
        await turn()
        with pytest.raises(NotReady, match="still being started"):
            it.call("a")
        await starting
        assert it.deployment.status is Status.READY

    run(story())


def test_one_warm_worker_of_two_makes_it_ready_at_once_and_the_other_is_tried_again() -> None:
    async def story() -> None:
        it = Story(FakeReplica(fails="warm"), FakeReplica("m-1", start_s=1), FakeReplica("m-2"), workers=2)
        await it.deployment.start()
        assert it.deployment.status is Status.READY
        assert it.deployment.failure is not None
        await it.until(lambda: len(it.deployment.workers) == 2)
        assert it.deployment.workers == {"m-1": 4_194_305, "m-2": 4_194_305}

    run(story())


def test_where_no_worker_can_start_it_has_failed_for_good() -> None:
    async def story() -> None:
        it = Story(FakeReplica(fails="load"), FakeReplica(fails="load"), workers=2)
        await it.deployment.start()
        assert it.deployment.status is Status.FAILED
        await asyncio.sleep(1000)
        assert len(it.used) == 2
        with pytest.raises(NotReady, match="could not be started"):
            it.call("a")
        await it.deployment.drain()

    run(story())


def test_calls_are_sent_in_the_order_they_came_one_at_a_time_to_a_slow_worker() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        futures = it.calls("abcde")
        for number in range(5):
            await turn()
            assert len(worker.frames) == number + 1
            worker.answer(*worker.calls[-1])
        assert worker.frames == [[b"a"], [b"b"], [b"c"], [b"d"], [b"e"]]
        assert [text(future) for future in futures] == list("abcde")

    run(story())


def test_what_gathers_while_a_batching_worker_is_busy_is_its_next_batch() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(max_batch_size=4))
        await it.deployment.start()
        it.calls("a")
        await turn()
        it.calls("bcdefg")
        await turn()
        worker.answer(*worker.calls[0])
        await turn()
        worker.answer(*worker.calls[1])
        await turn()
        assert worker.frames == [[b"a"], [b"b", b"c", b"d", b"e"], [b"f", b"g"]]

    run(story())


def test_the_worker_with_the_least_to_do_gets_the_next_call() -> None:
    async def story() -> None:
        it = Story(FakeReplica("m-0"), FakeReplica("m-1"), workers=2)
        await it.deployment.start()
        it.calls("abc")
        await turn()
        assert [worker.frames for worker in it.used] == [[[b"a"]], [[b"b"]]]
        it.used[1].answer(*it.used[1].calls[0])
        await turn()
        assert it.used[1].frames == [[b"b"], [b"c"]]

    run(story())


def test_a_call_beyond_the_queue_is_refused_and_those_in_it_are_not_harmed() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), max_queue=2)
        await it.deployment.start()
        it.calls("a")
        await turn()
        waiting = it.calls("bc")
        with pytest.raises(QueueFull, match="2 calls are waiting"):
            it.call("d")
        for _ in range(3):
            worker.answer(*worker.calls[-1])
            await turn()
        assert [text(future) for future in waiting] == ["b", "c"]

    run(story())


def test_a_call_that_is_given_up_while_it_waits_is_never_sent_and_its_place_is_free_at_once() -> None:
    """E05."""

    async def story() -> None:
        it = Story(worker := FakeReplica(), max_queue=2)
        await it.deployment.start()
        it.calls("a")
        await turn()
        left, stays = it.calls("bc")
        left.cancel()
        new = it.call("d")
        with pytest.raises(QueueFull):
            it.call("e")
        for _ in range(3):
            worker.answer(*worker.calls[-1])
            await turn()
        assert worker.frames == [[b"a"], [b"c"], [b"d"]]
        assert (text(stays), text(new)) == ("c", "d")

    run(story())


def test_a_call_that_is_given_up_while_it_runs_is_finished_and_dropped() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        left, stays = it.calls("ab")
        await turn()
        left.cancel()
        await turn()
        assert worker.frames == [[b"a"]], "the worker is busy with it"
        worker.answer(*worker.calls[0])
        await turn()
        worker.answer(*worker.calls[1])
        assert text(stays) == "b"

    run(story())


def test_when_a_worker_dies_the_call_it_ran_fails_and_those_that_waited_go_to_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A01."""

    async def story() -> None:
        it = Story(worker := FakeReplica(), FakeReplica("m-1"))
        await it.deployment.start()
        running, *waiting = it.calls("abc")
        await turn()
        worker.begin()
        worker.die()
        assert code(running) == "worker_died"
        assert str(it.deployment.status) == Status.RESTARTING
        await it.until(lambda: len(it.used) == 2 and it.used[1].calls)
        for _ in range(2):
            it.used[1].answer(*it.used[1].calls[-1])
            await turn()
        assert [text(future) for future in waiting] == ["b", "c"]
        assert it.deployment.status is Status.READY

    with caplog.at_level(logging.ERROR):
        run(story())
    (record,) = caplog.records
    assert "SIGKILL" in record.getMessage()
    assert "id-a" in record.getMessage()


def test_a_call_that_the_dead_worker_had_not_begun_is_run_by_the_next() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), FakeReplica("m-1"))
        await it.deployment.start()
        future = it.call("a")
        await turn()
        assert worker.frames == [[b"a"]]
        worker.die()
        await it.until(lambda: len(it.used) == 2 and it.used[1].calls)
        it.used[1].answer(*it.used[1].calls[0])
        assert text(future) == "a"

    run(story())


def test_a_batch_with_which_a_worker_died_is_run_again_one_by_one() -> None:
    """O04: only the deadly one fails."""

    async def story() -> None:
        workers = [FakeReplica(f"m-{number}", max_batch_size=8) for number in range(3)]
        it = Story(*workers)
        await it.deployment.start()
        it.call("before")  # keeps the worker busy, so that the next three are one batch
        await turn()
        first, deadly, last = it.calls("abc")
        workers[0].begin()
        workers[0].answer(*workers[0].calls[0])
        await turn()
        assert workers[0].frames[1:] == [[b"a", b"b", b"c"]]
        workers[0].begin(3)
        workers[0].die()
        await it.until(lambda: workers[1].calls)
        later = it.call("d")
        await turn()
        assert workers[1].frames[0] == [b"a"]
        workers[1].begin()
        workers[1].answer(*workers[1].calls[0])
        await turn()
        assert workers[1].frames[1] == [b"b"]
        workers[1].begin()
        workers[1].die()
        assert code(deadly) == "worker_died"
        await it.until(lambda: workers[2].calls)
        for number in range(2):
            workers[2].answer(*workers[2].calls[number])
            await turn()
        assert workers[2].frames == [[b"c"], [b"d"]]
        assert [text(future) for future in (first, last, later)] == ["a", "c", "d"]

    run(story())


def test_where_three_replacements_fail_what_waits_is_refused_and_a_later_one_makes_it_ready_again() -> None:
    async def story() -> None:
        broken = [FakeReplica(fails="warm") for _ in range(4)]
        it = Story(worker := FakeReplica(), *broken, FakeReplica("m-5"))
        await it.deployment.start()
        worker.die()
        waiting = it.call("a")
        await it.until(lambda: it.deployment.status is Status.FAILED)
        assert code(waiting) == "not_ready"
        with pytest.raises(NotReady):
            it.call("b")
        await it.until(lambda: it.deployment.status is Status.READY)
        future = it.call("c")
        await turn()
        it.used[5].answer(*it.used[5].calls[0])
        assert text(future) == "c"

    run(story())


def test_the_death_of_an_idle_worker_beside_another_is_not_noticed() -> None:
    async def story() -> None:
        it = Story(FakeReplica("m-0"), FakeReplica("m-1"), FakeReplica("m-2"), workers=2)
        await it.deployment.start()
        it.used[0].die()
        assert it.deployment.status is Status.READY
        future = it.call("a")
        await turn()
        it.used[1].answer(*it.used[1].calls[0])
        assert text(future) == "a"

    run(story())


def test_draining_refuses_new_calls_and_waits_for_those_accepted() -> None:
    """G02."""

    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        futures = it.calls("ab")
        await turn()
        draining = asyncio.create_task(it.deployment.drain())
        await turn()
        with pytest.raises(Stopping):
            it.call("c")
        worker.answer(*worker.calls[0])
        await turn()
        assert not draining.done()
        worker.answer(*worker.calls[1])
        await draining
        assert [text(future) for future in futures] == ["a", "b"]

    run(story())


def test_draining_goes_on_with_the_replacement_of_a_worker_that_dies_meanwhile() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), FakeReplica("m-1"))
        await it.deployment.start()
        running, waiting = it.calls("ab")
        await turn()
        draining = asyncio.create_task(it.deployment.drain())
        await turn()
        worker.begin()
        worker.die()
        await it.until(lambda: len(it.used) == 2 and it.used[1].calls)
        it.used[1].answer(*it.used[1].calls[0])
        await draining
        assert (code(running), text(waiting)) == ("worker_died", "b")

    run(story())


def test_draining_an_idle_deployment_ends_at_once() -> None:
    async def story() -> None:
        it = Story(FakeReplica())
        await it.deployment.start()
        await it.deployment.drain()
        assert asyncio.get_running_loop().time() == 0

    run(story())


def test_abandoning_answers_what_runs_and_what_waits_and_late_answers_are_ignored() -> None:
    """G03."""

    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        futures = it.calls("ab")
        await turn()
        it.deployment.abandon()
        assert [code(future) for future in futures] == ["stopping", "stopping"]
        worker.answer(*worker.calls[0])
        await turn()
        assert len(worker.frames) == 1

    run(story())


def test_stopping_ends_every_worker_and_starts_no_other() -> None:
    async def story() -> None:
        it = Story(FakeReplica("m-0"), FakeReplica("m-1"), workers=2)
        await it.deployment.start()
        future = it.call("a")
        await turn()
        await it.deployment.stop(3.0)
        assert code(future) == "stopping"
        await asyncio.sleep(1000)
        assert [worker.stops for worker in it.used] == [[3.0], [3.0]]
        assert it.deployment.status is Status.STOPPING

    run(story())
