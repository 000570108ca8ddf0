"""A cache around a deployment on fake replicas: who runs, who waits, what is kept, and who may leave."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from modelserve.errors import NotReady, QueueFull
from modelserve.messages import Answer, Call, Failure, FileAnswer, FilePart
from modelserve.runtime import cache as caching
from modelserve.runtime.cache import Cache, FromCache
from modelserve.runtime.cache_key import QUICK_BYTES
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.status import ReloadFailed
from modelserve.runtime.streams import Streamed
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, text, turn


class Cached(Story):
    """A deployment with a cache."""

    def __init__(self, *replicas: FakeReplica, size: int = 10, ttl_s: float = 0.0, **rest: Any) -> None:
        super().__init__(*replicas, **rest)
        self.cache = Cache(self.deployment, size=size, ttl_s=ttl_s, metrics=self.metrics.cache("m"))

    def call(self, body: str, *, deadline: float = 0.0) -> asyncio.Future[Answer]:
        return self.ask(Call(request_id=f"id-{body}", body=body.encode(), deadline=deadline))

    def ask(self, call: Call) -> asyncio.Future[Answer]:
        return self.cache.call(call)

    def counted(self, what: str) -> float:
        value = self.metrics.registry.get_sample_value(f"modelserve_cache_{what}", {"deployment": "m"})
        assert value is not None
        return value


async def answered(it: Cached, body: str) -> Answer:
    """Ask, have the first worker answer if it is asked, and return what came."""
    worker, future = it.used[-1], it.call(body)
    await turn()
    if not future.done():
        worker.answer(*worker.calls[-1])
    return await future


def sent(worker: FakeReplica) -> list[bytes]:
    """Return the bodies of all calls that a worker was sent."""
    return [call.body for calls in worker.calls for call in calls]


def file_of(folder: Path) -> FilePart:
    (folder / "upload").write_bytes(b"content")
    return FilePart("file", str(folder / "upload"), "text/plain", "a.txt", 7)


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


def test_a_file_is_for_one_alone_and_whoever_waited_runs_its_own_call_at_once_from_then_on(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(*(FakeReplica(f"m-{number}") for number in range(2)), workers=2)
        await it.deployment.start()
        futures = it.calls("aaa")
        await turn()
        assert [len(worker.calls) for worker in it.used] == [1, 0]
        tell_files(it.used[0], tmp_path)
        await turn()
        assert [len(worker.calls) for worker in it.used] == [2, 1], "they need not wait for each other"
        for worker in it.used:
            tell_files(worker, tmp_path)
        await turn()
        files = [future.result().file for future in futures]
        assert len({file.path for file in files if file}) == 3
        assert not any(isinstance(future.result(), FromCache) for future in futures)
        it.calls("aa")
        await turn()
        assert [len(worker.calls) for worker in it.used] == [3, 2]
        assert it.counted("misses_total") == 5

    run(story())


def tell_files(worker: FakeReplica, folder: Path) -> None:
    """Answer the calls that a worker was sent last with a file each."""
    for call in worker.calls[-1]:
        path = folder / f"{call.id}.bin"
        path.write_bytes(b"answer")
        worker.give(Answer(call.id, "text/plain", file=FileAnswer(str(path), 6, delete=True)))


def test_a_file_whose_caller_has_left_is_removed_and_another_gets_its_own(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        first, second = it.calls("aa")
        await turn()
        first.cancel()
        tell_files(worker, tmp_path)
        await turn()
        assert list(tmp_path.iterdir()) == []
        tell_files(worker, tmp_path)
        await turn()
        assert second.result().file is not None
        assert len(list(tmp_path.iterdir())) == 1

    run(story())


def test_who_waited_for_a_file_and_finds_no_place_in_the_queue_is_told_so(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica(), max_queue=1)
        await it.deployment.start()
        _, second, third = it.calls("aaa")
        await turn()
        it.call("b")
        tell_files(worker, tmp_path)
        await turn()
        assert not second.done()
        assert code(third) == "queue_full"

    run(story())


def test_when_whose_file_was_uploaded_leaves_the_next_call_with_the_same_file_is_run(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        calls = [Call(request_id=name, files=[file_of(tmp_path)]) for name in "abc"]
        first, second, third = (it.ask(call) for call in calls)
        await turn()
        assert worker.calls == [[calls[0]]]
        first.cancel()
        await turn()
        assert worker.cancelled == [calls[0].id], "its files are removed by now"
        worker.answer(calls[0])
        await turn()
        assert worker.calls == [[calls[0]], [calls[1]]]
        third.cancel()
        await turn()
        worker.answer(calls[1])
        await turn()
        assert not isinstance(second.result(), FromCache)
        assert isinstance(it.ask(Call(files=[file_of(tmp_path)])).result(), FromCache)

    run(story())


def test_when_the_next_call_with_the_same_file_is_not_taken_all_are_told_so(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(FakeReplica(), max_queue=1)
        await it.deployment.start()
        first, second, third = (it.ask(Call(files=[file_of(tmp_path)])) for _ in range(3))
        await turn()
        it.call("b")
        first.cancel()
        await turn()
        assert code(second) == code(third) == "queue_full"
        with pytest.raises(QueueFull):
            it.ask(Call(files=[file_of(tmp_path)]))

    run(story())


def test_a_call_whose_file_is_gone_is_for_the_model_to_judge(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        gone = [FilePart("file", str(tmp_path / "nothing"), "", "", size) for size in (7, QUICK_BYTES + 1)]
        futures = [it.ask(Call(body=b"a", files=[file])) for file in gone]
        await seen(worker, 1)
        worker.answer(*worker.calls[0])
        await seen(worker, 2)
        worker.answer(*worker.calls[1])
        assert [(await future).body for future in futures] == [b"a", b"a"]

    asyncio.run(story())


async def seen(worker: FakeReplica, count: int) -> None:
    """Wait, in real time since threads take some, until a worker was sent so many frames."""
    async with asyncio.timeout(30):
        while len(worker.calls) < count:
            await asyncio.sleep(0.001)


def test_a_large_call_is_hashed_on_a_thread_and_shares_as_any_other() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        large = "a" * (QUICK_BYTES + 1)
        futures = it.calls("a") + [it.call(large) for _ in range(3)]
        await seen(worker, 1)
        futures[3].cancel()
        worker.answer(*worker.calls[0])
        await seen(worker, 2)
        worker.answer(*worker.calls[1])
        async with asyncio.timeout(30):
            assert [(await future).body for future in futures[1:3]] == [large.encode()] * 2
        assert len(sent(worker)) == 2
        assert isinstance(await it.call(large), FromCache)

    asyncio.run(story())


def test_a_file_for_a_large_call_whose_caller_leaves_as_it_comes_is_removed(tmp_path: Path) -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        future = it.call("a" * (QUICK_BYTES + 1))
        await seen(worker, 1)
        tell_files(worker, tmp_path)
        await asyncio.sleep(0)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        await turn()
        assert list(tmp_path.iterdir()) == []

    asyncio.run(story())


def test_bodies_that_wait_for_anothers_answer_have_a_limit() -> None:
    async def story() -> None:
        it = Cached(worker := FakeReplica())
        await it.deployment.start()
        part = caching.MAX_WAITING_BYTES // 2
        call = Call(form=[("a", "x" * part)])
        futures = [it.cache._find(b"key", Call(form=call.form)) for _ in range(3)]
        await turn()
        assert len(sent(worker)) == 1
        queued = it.cache._find(b"key", Call(form=call.form))
        futures[1].cancel()
        await turn()
        shared = it.cache._find(b"key", Call(form=call.form))
        worker.answer(*worker.calls[0])
        await turn()
        assert [future.done() for future in (futures[0], futures[2], queued, shared)] == [True, True, False, True]

    run(story())
