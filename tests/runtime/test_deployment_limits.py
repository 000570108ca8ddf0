"""What a deployment refuses, what it gives up, and when: queue limits, deadlines, timeouts, clients that leave."""

from __future__ import annotations

import asyncio
import time

import pytest

from modelserve.errors import QueueFull, QueueTimeout
from modelserve.messages import Call
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, now, text, turn


def test_bodies_beyond_the_bytes_that_may_wait_are_refused_and_those_in_the_queue_are_served() -> None:
    """F06."""

    async def story() -> None:
        it = Story(worker := FakeReplica(), max_queue_bytes=100)
        await it.deployment.start()
        it.call("runs")
        await turn()
        first = it.call("x" * 60)
        with pytest.raises(QueueFull, match="60 bytes"):
            it.call("y" * 41)
        with pytest.raises(QueueFull):
            it.deployment.check_room(41)
        it.deployment.check_room(40)
        second = it.call("z" * 40)
        assert it.deployment.status_report().queue_bytes == 100
        for _ in range(3):
            worker.answer(*worker.calls[-1])
            await turn()
        assert (len(text(first)), len(text(second))) == (60, 40)
        assert it.deployment.status_report().queue_bytes == 0

    run(story())


def test_the_texts_of_a_form_count_as_bytes_that_wait() -> None:
    async def story() -> None:
        it = Story(FakeReplica(), max_queue_bytes=10)
        await it.deployment.start()
        it.call("runs")
        await turn()
        it.deployment.call(Call(form=[("a", "12345"), ("b", "123")]))
        assert it.deployment.status_report().queue_bytes == 8
        with pytest.raises(QueueFull):
            it.call("123")

    run(story())


def test_one_body_above_the_limit_is_taken_while_nothing_waits() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), max_queue_bytes=10)
        await it.deployment.start()
        future = it.call("x" * 100)
        await turn()
        worker.answer(*worker.calls[0])
        assert len(text(future)) == 100

    run(story())


def test_leaving_the_queue_frees_the_place_and_the_bytes_at_once() -> None:
    """E05."""

    async def story() -> None:
        it = Story(worker := FakeReplica(), max_queue=2, max_queue_bytes=100)
        await it.deployment.start()
        it.call("runs")
        await turn()
        stays, leaves = it.call("b"), it.call("x" * 99)
        leaves.cancel()
        report = it.deployment.status_report()
        assert (report.queue_calls, report.queue_bytes) == (1, 1)
        it.call("y" * 99)
        for _ in range(3):
            worker.answer(*worker.calls[-1])
            await turn()
        assert worker.frames[1:] == [[b"b"], [b"y" * 99]]
        assert text(stays) == "b"
        assert worker.cancelled == [], "the worker never knew of it"

    run(story())


def test_a_thousand_clients_that_come_and_leave_leave_nothing_behind() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), max_queue=10)
        await it.deployment.start()
        it.call("runs")
        await turn()
        stays = it.call("stays")
        for _ in range(1000):
            it.call("leaves").cancel()
        assert it.deployment.status_report().queue_calls == 1
        worker.answer(*worker.calls[0])
        await turn()
        worker.answer(*worker.calls[1])
        assert text(stays) == "stays"

    run(story())


def test_a_refusal_takes_microseconds() -> None:
    """F01."""

    async def story() -> None:
        it = Story(FakeReplica(), max_queue=1)
        await it.deployment.start()
        it.call("runs")
        await turn()
        it.call("waits")
        since = time.perf_counter()
        for _ in range(1000):
            with pytest.raises(QueueFull):
                it.deployment.check_room(100)
        assert (time.perf_counter() - since) / 1000 < 0.001

    run(story())


def test_a_call_whose_deadline_passes_in_the_queue_is_answered_then_and_never_run() -> None:
    """F03."""

    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        it.call("runs")
        await turn()
        future = it.call("late", deadline=2.0)
        await future
        assert now() == pytest.approx(2.0, abs=0.01)
        assert code(future) == "queue_timeout"
        assert it.deployment.status_report().queue_calls == 0
        worker.answer(*worker.calls[0])
        await turn()
        assert len(worker.frames) == 1
        assert b'modelserve_timeouts_total{deployment="m",stage="queue"} 1.0' in it.metrics.render()

    run(story())


def test_a_call_that_comes_after_its_deadline_is_refused() -> None:
    async def story() -> None:
        it = Story(FakeReplica())
        await it.deployment.start()
        await asyncio.sleep(5)
        with pytest.raises(QueueTimeout):
            it.call("late", deadline=4.0)
        assert it.deployment.status_report().queue_calls == 0

    run(story())


def test_a_deadline_that_passes_while_the_call_runs_answers_it_and_harms_no_worker() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        future, after = it.call("late", deadline=2.0), it.call("after")
        await turn()
        worker.begin()
        await future
        assert code(future) == "predict_timeout"
        assert worker.cancelled == [worker.calls[0][0].id]
        await asyncio.sleep(10)
        assert worker.ends == []
        worker.answer(*worker.calls[0])
        await turn()
        worker.answer(*worker.calls[1])
        assert text(after) == "after"

    run(story())


def test_a_call_that_was_sent_but_not_begun_at_its_deadline_was_not_run() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        future = it.call("late", deadline=2.0)
        await future
        assert code(future) == "queue_timeout"
        assert worker.cancelled == [worker.calls[0][0].id]

    run(story())


def test_an_answer_in_time_forgets_the_deadline() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        future = it.call("a", deadline=2.0)
        await turn()
        worker.answer(*worker.calls[0])
        await asyncio.sleep(5)
        assert text(future) == "a"
        assert worker.cancelled == []

    run(story())


@pytest.mark.parametrize("timeout_s", [0.3, 1.0, 5.0])
def test_a_call_that_runs_too_long_is_answered_and_its_worker_replaced(timeout_s: float) -> None:
    """A08: within half a second of the time, also where the worker is slow to die."""

    async def story() -> None:
        it = Story(worker := FakeReplica(end_s=1.0), FakeReplica("m-1"), predict_timeout_s=timeout_s)
        await it.deployment.start()
        await asyncio.sleep(3)
        quick = it.call("quick")
        await turn()
        worker.begin()
        await asyncio.sleep(timeout_s * 0.8)
        worker.answer(*worker.calls[0])
        await quick
        slow, waiting = it.calls("ab")
        await turn()
        worker.begin()
        since = now()
        await slow
        assert timeout_s <= now() - since <= timeout_s + 0.4
        assert code(slow) == "predict_timeout"
        assert worker.ends == ["timeout"]
        await it.until(lambda: len(it.used) == 2 and it.used[1].calls)
        it.used[1].answer(*it.used[1].calls[0])
        assert text(waiting) == "b"
        last_exit = it.deployment.status_report().last_exit
        assert last_exit is not None
        assert (last_exit.reason, last_exit.worker) == ("timeout", "m-0")
        assert b'exits_total{deployment="m",reason="timeout"} 1.0' in it.metrics.render()

    run(story())


def test_the_clock_of_a_call_starts_when_it_begins_and_not_when_it_was_sent() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), predict_timeout_s=1.0)
        await it.deployment.start()
        for _ in range(60):  # fast, so that several calls share a frame
            quick = it.call("quick")
            await turn()
            worker.begin()
            worker.answer(*worker.calls[-1], busy_s=0.0001)
            await quick
        it.call("first")
        futures = it.calls("abcd")
        worker.begin()
        worker.answer(*worker.calls[-1], busy_s=0.0001)
        await turn()
        assert len(worker.calls[-1]) == 4, "one frame"
        for call in worker.calls[-1]:
            worker.begin()
            await asyncio.sleep(0.8)
            worker.answer(call, busy_s=0.0001)
        assert [text(future) for future in futures] == list("abcd")
        assert worker.ends == []

    run(story())


def test_a_worker_that_is_frozen_before_it_begins_is_replaced_and_its_call_is_run_elsewhere() -> None:
    """A10."""

    async def story() -> None:
        it = Story(FakeReplica(), other := FakeReplica("m-1"), predict_timeout_s=1.0)
        await it.deployment.start()
        future = it.call("a")
        await it.until(lambda: other.calls)
        other.answer(*other.calls[0])
        assert text(future) == "a"

    run(story())


def test_a_call_no_worker_ever_begins_fails_after_three() -> None:
    """Reading its arguments may be what takes for ever."""

    async def story() -> None:
        it = Story(*(FakeReplica(f"m-{number}") for number in range(4)), predict_timeout_s=1.0)
        await it.deployment.start()
        future = it.call("a")
        await future
        assert code(future) == "predict_timeout"
        assert sum(bool(worker.calls) for worker in it.used) == 3

    run(story())


def test_a_call_that_was_with_three_workers_when_they_died_is_not_given_to_a_fourth() -> None:
    async def story() -> None:
        it = Story(*(FakeReplica(f"m-{number}") for number in range(4)))
        await it.deployment.start()
        future = it.call("a")
        for number in range(3):
            await it.until(lambda number=number: len(it.used) > number and it.used[number].calls)  # type: ignore[misc]
            it.used[number].die()
        assert code(future) == "worker_died"

    run(story())


def test_a_batch_that_runs_too_long_is_answered_as_a_whole() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(max_batch_size=8), FakeReplica("m-1", max_batch_size=8), predict_timeout_s=1.0)
        await it.deployment.start()
        before = it.call("z")
        await turn()
        futures = it.calls("abc")
        worker.begin()
        worker.answer(*worker.calls[0])
        await before
        await turn()
        worker.begin(3)
        await asyncio.wait(futures)
        assert [code(future) for future in futures] == ["predict_timeout"] * 3
        assert worker.ends == ["timeout"]

    run(story())


def test_a_running_call_of_a_client_that_left_is_finished_and_its_worker_is_told() -> None:
    """E06."""

    async def story() -> None:
        it = Story(worker := FakeReplica())
        await it.deployment.start()
        future = it.call("a")
        await turn()
        worker.begin()
        future.cancel()
        assert worker.cancelled == [worker.calls[0][0].id]
        await asyncio.sleep(10)
        assert worker.ends == []

    run(story())


def test_where_it_is_chosen_the_worker_of_a_client_that_left_is_ended_and_batch_mates_are_run_again() -> None:
    async def story() -> None:
        workers = [FakeReplica(f"m-{number}", max_batch_size=8) for number in range(2)]
        it = Story(*workers, kill_cancelled=True)
        await it.deployment.start()
        it.call("z")
        await turn()
        leaves, stays = it.calls("ab")
        workers[0].begin()
        workers[0].answer(*workers[0].calls[0])
        await turn()
        workers[0].begin(2)
        leaves.cancel()
        await it.until(lambda: workers[1].calls)
        assert workers[0].ends == ["cancelled"]
        assert workers[1].frames == [[b"b"]]
        workers[1].answer(*workers[1].calls[0])
        assert text(stays) == "b"

    run(story())


def test_clients_that_leave_end_no_more_workers_than_the_budget_allows() -> None:
    async def story() -> None:
        workers = [FakeReplica(f"m-{number}") for number in range(5)]
        it = Story(*workers, kill_cancelled=True, restart_budget=2)
        await it.deployment.start()
        for number in range(3):
            future = it.call("a")
            await it.until(lambda number=number: workers[number].calls)  # type: ignore[misc]
            workers[number].begin()
            future.cancel()
            await asyncio.sleep(2)
        assert [worker.ends for worker in workers] == [["cancelled"], ["cancelled"], [], [], []]

    run(story())


def test_a_call_that_ends_soon_after_its_client_left_costs_no_worker() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), kill_cancelled=True)
        await it.deployment.start()
        future = it.call("a")
        await turn()
        worker.begin()
        future.cancel()
        await asyncio.sleep(0.05)
        worker.answer(*worker.calls[0])
        await asyncio.sleep(10)
        assert worker.ends == []

    run(story())


def test_a_batch_waits_for_more_no_longer_than_told_since_its_oldest_call() -> None:
    """O07."""

    async def story() -> None:
        it = Story(worker := FakeReplica(max_batch_size=4), batch_wait_s=0.05)
        await it.deployment.start()
        await asyncio.sleep(1)
        it.call("a")
        since = now()
        await asyncio.sleep(0.03)
        it.call("b")
        await it.until(lambda: worker.calls)
        assert now() - since == pytest.approx(0.05, abs=0.005)
        assert worker.frames == [[b"a", b"b"]]
        worker.answer(*worker.calls[0])
        it.calls("cdef")
        await turn()
        assert worker.frames[1] == [b"c", b"d", b"e", b"f"], "a full batch waits for nothing"

    run(story())


def test_without_a_wait_a_lone_call_of_a_batching_model_goes_out_at_once() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(max_batch_size=4))
        await it.deployment.start()
        it.call("a")
        assert worker.frames == [[b"a"]]

    run(story())


def test_a_model_that_does_not_batch_waits_for_nothing() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(), batch_wait_s=10)
        await it.deployment.start()
        it.call("a")
        await turn()
        assert worker.frames == [[b"a"]]

    run(story())
