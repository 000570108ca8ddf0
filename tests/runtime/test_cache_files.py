"""A cache and what is not small bytes: files up and down, large bodies, and the limit of those that wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelserve.errors import QueueFull
from modelserve.messages import Answer, Call, FileAnswer, FilePart
from modelserve.runtime import cache as caching
from modelserve.runtime.cache import FromCache
from modelserve.runtime.cache_key import QUICK_BYTES
from tests.runtime.cached import Cached, sent
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import code, turn


def file_of(folder: Path) -> FilePart:
    (folder / "upload").write_bytes(b"content")
    return FilePart("file", str(folder / "upload"), "text/plain", "a.txt", 7)


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
