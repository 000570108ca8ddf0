"""A cache around a deployment on fake replicas: who runs, who waits, what is kept, and who may leave."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.errors import NotReady, QueueFull
from modelserve.messages import Answer, Call, Failure
from modelserve.runtime.cache import FromCache
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.status import ReloadFailed
from modelserve.runtime.streams import Streamed
from tests.runtime.cached import Cached, answered, sent
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import code, text, turn


def test_the_second_of_two_identical_calls_is_answered_without_the_model() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        first = await answered(it, "a")
        await asyncio.sleep(2.5)
        second = await answered(it, "a")
        assert (first.body, second.body, second.content_type) == (b"a", b"a", "text/plain")
        assert not isinstance(first, FromCache)
        assert isinstance(second, FromCache)
        assert second.age_s == pytest.approx(2.5, abs=0.1)
        await answered(it, "b")
        assert sent(worker) == [b"a", b"b"]
        assert (it.counted("hits_total"), it.counted("misses_total"), it.counted("entries")) == (1, 2, 2)

    run(story())


def test_identical_calls_that_come_together_share_one_computation() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        first, *others = it.calls("aaab")
        await turn()
        assert sent(worker) == [b"a"]
        worker.answer(*worker.calls[0])
        await turn()
        assert [text(future) for future in (first, *others[:2])] == ["a", "a", "a"]
        assert [isinstance(future.result(), FromCache) for future in (first, *others[:2])] == [False, True, True]
        assert not others[2].done()
        assert (it.counted("hits_total"), it.counted("misses_total")) == (2, 2)

    run(story())


@pytest.mark.parametrize("leaving", [0, 1])
def test_who_leaves_does_not_take_the_call_of_the_others_with_it(leaving: int) -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        futures = it.calls("aa")
        await turn()
        futures[leaving].cancel()
        await turn()
        assert worker.cancelled == []
        worker.answer(*worker.calls[0])
        await turn()
        assert text(futures[1 - leaving]) == "a"
        assert sent(worker) == [b"a"]

    run(story())


def test_the_last_who_leaves_takes_the_call_with_it_and_the_next_begins_anew() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        running, waiting, again = it.calls("abb")
        await turn()
        waiting.cancel()
        again.cancel()
        running.cancel()
        await turn()
        assert worker.cancelled == [worker.calls[0][0].id]
        anew = it.call("a")
        worker.answer(*worker.calls[0])
        await turn()
        assert not anew.done()
        worker.answer(*worker.calls[1])
        await turn()
        assert text(anew) == "a"
        assert sent(worker) == [b"a", b"a"], "b was never run"

    run(story())


def test_an_answer_that_was_on_its_way_when_the_last_left_is_kept() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        future = it.call("a")
        await turn()
        worker.answer(*worker.calls[0])
        future.cancel()
        await turn()
        assert isinstance(await answered(it, "a"), FromCache)

    run(story())


def test_a_failure_is_given_to_all_who_wait_logged_once_and_not_kept() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        first, second = it.calls("aa")
        await turn()
        worker.give(Answer(worker.calls[0][0].id, failure=Failure(500, "model_error", "It failed.", log="Traceback")))
        await turn()
        assert code(first) == code(second) == "model_error"
        logs = [future.result().failure for future in (first, second)]
        assert [failure and failure.log for failure in logs] == ["Traceback", ""]
        assert (await answered(it, "a")).failure is None
        assert sent(worker) == [b"a", b"a"]

    run(story())


def test_a_worker_that_dies_of_a_call_fails_all_who_wait_and_is_not_asked_again() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica(), second := FakeReplica("m-1"))
        await it.deployment.start()
        futures = it.calls("aaa")
        await turn()
        worker.begin()
        worker.die()
        await turn()
        assert [code(future) for future in futures] == ["worker_died"] * 3
        await it.until(lambda: it.deployment.workers)
        assert second.calls == []

    run(story())


def test_a_call_that_is_not_taken_is_refused_and_leaves_nothing_behind() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica(), max_queue=1)
        with pytest.raises(NotReady):
            it.call("a")
        await it.deployment.start()
        it.calls("ab")
        await turn()
        waiting = it.call("b")
        with pytest.raises(QueueFull):
            it.call("c")
        for _ in range(2):
            worker.answer(*worker.calls[-1])
            await turn()
        assert text(waiting) == "b", "it shares, and takes no place in the queue"
        assert (await answered(it, "c")).body == b"c"

    run(story())


def test_a_full_queue_does_not_keep_out_what_needs_no_place_in_it() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica(), max_queue=1)
        await it.deployment.start()
        it.cache.check_room(10)
        await answered(it, "z")
        it.calls("ab")
        await turn()
        with pytest.raises(QueueFull):
            it.deployment.check_room(10)
        it.cache.check_room(10)
        with pytest.raises(QueueFull):
            it.cache.check_room(1_000_000)
        assert text(it.call("z")) == "z"
        assert sent(worker) == [b"z", b"a"]

    run(story())


def test_with_nothing_kept_a_full_queue_refuses_before_the_body_is_read() -> None:
    async def story() -> None:
        it = Cached(FakeReplica(), max_queue=1)
        await it.deployment.start()
        it.deployment.call(Call(body=b"a"))
        await turn()
        it.deployment.call(Call(body=b"b"))
        with pytest.raises(QueueFull):
            it.cache.check_room(10)

    run(story())


def test_an_answer_is_dropped_when_it_is_too_old_or_others_are_asked_for_more() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica(), size=2, ttl_s=10)
        await it.deployment.start()
        for body in "abac":
            await answered(it, body)
        assert sent(worker) == [b"a", b"b", b"c"]
        await answered(it, "b")
        assert sent(worker) == [b"a", b"b", b"c", b"b"]
        await asyncio.sleep(10)
        await answered(it, "b")
        assert sent(worker)[-2:] == [b"b", b"b"]

    run(story())


def test_a_reload_empties_it_and_what_an_old_worker_still_computes_is_not_kept_or_shared() -> None:
    async def story() -> None:
        it = Cached(old := FakeReplica(), new := FakeReplica("m-0.1", version="2"))
        await it.deployment.start()
        await answered(it, "a")
        late = it.call("b")
        await turn()
        assert it.counted("entries") == 1
        reload = asyncio.create_task(it.deployment.reload([lambda _: it.make()]))
        await it.until(lambda: it.deployment.reloads)
        assert it.counted("entries") == 0
        first, second = it.calls("ab")
        await turn()
        assert sent(new)[:1] == [b"a"], "neither the kept answer nor the old worker's is taken"
        old.answer(*old.calls[-1])
        await reload
        assert text(late) == "b"
        assert not first.done()
        new.answer(*new.calls[0])
        await turn()
        new.answer(*new.calls[1])
        await turn()
        assert (text(first), text(second)) == ("a", "b")
        assert sent(new) == [b"a", b"b"]
        assert isinstance(await answered(it, "b"), FromCache)

    run(story())


def test_an_old_workers_answer_is_not_kept_even_if_nobody_has_asked_since() -> None:
    async def story() -> None:
        it = Cached(old := FakeReplica(), new := FakeReplica("m-0.1"))
        await it.deployment.start()
        late = it.call("b")
        await turn()
        reload = asyncio.create_task(it.deployment.reload([lambda _: it.make()]))
        await it.until(lambda: it.deployment.reloads)
        old.answer(*old.calls[-1])
        await reload
        assert text(late) == "b"
        assert not isinstance(await answered(it, "b"), FromCache)
        assert sent(new) == [b"b"]

    run(story())


def test_an_old_workers_answer_is_not_kept_though_others_were_called_since_the_reload() -> None:
    async def story() -> None:
        it = Cached(old := FakeReplica(), new := FakeReplica("m-0.1"))
        await it.deployment.start()
        late = it.call("b")
        await turn()
        reload = asyncio.create_task(it.deployment.reload([lambda _: it.make()]))
        await it.until(lambda: it.deployment.reloads)
        await answered(it, "c")
        old.answer(*old.calls[-1])
        await reload
        assert text(late) == "b"
        assert not isinstance(await answered(it, "b"), FromCache)
        assert sent(new) == [b"c", b"b"]

    run(story())


def test_a_reload_that_fails_empties_nothing() -> None:
    async def story() -> None:
        it = Cached(FakeReplica(), FakeReplica("m-0.1", fails="load"))
        await it.deployment.start()
        first, worker = await answered(it, "a"), it.used[0]
        with pytest.raises(ReloadFailed) as raised:
            await it.deployment.reload([lambda _: it.make()])
        assert isinstance(raised.value.__cause__, StartFailed)
        assert isinstance(it.call("a").result(), FromCache)
        assert (first.body, sent(worker)) == (b"a", [b"a"])

    run(story())


def test_calls_with_a_deadline_or_another_operation_pass_by() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        await answered(it, "a")
        it.call("a", deadline=1e9)
        it.ask(Call(body=b"a", operation="train"))
        await turn()
        worker.answer(*worker.calls[-1])
        await turn()
        worker.answer(*worker.calls[-1])
        assert sent(worker) == [b"a", b"a", b"a"]
        assert (it.counted("hits_total"), it.counted("misses_total")) == (0, 1)

    run(story())


def test_a_model_that_streams_is_passed_by() -> None:
    async def story() -> None:
        it = Cached(FakeReplica(streams=True), FakeReplica("m-1", streams=True), workers=2)
        await it.deployment.start()
        futures = it.calls("aa")
        await turn()
        for worker in it.used:
            worker.open(worker.calls[0][0])
        await turn()
        assert all(isinstance(future.result(), Streamed) for future in futures)
        assert it.counted("entries") == 0

    run(story())
