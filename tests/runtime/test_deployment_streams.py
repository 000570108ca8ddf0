"""Models that run many calls at a time, and answers that come in parts."""

from __future__ import annotations

import asyncio

from modelserve.messages import Answer, Call
from modelserve.runtime.interface import FIRST_PARTS, PART_BYTES
from modelserve.runtime.streams import Stream, Streamed
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, now, text, turn


def parts_of(future: asyncio.Future[Answer]) -> Stream:
    answer = future.result()
    assert isinstance(answer, Streamed)
    assert answer.parts is not None
    return answer.parts


async def opened(it: Story, worker: FakeReplica) -> tuple[Call, Stream, asyncio.Future[Answer]]:
    """Start with a stream that is open at the worker; return its call, its parts, and a call that waits behind it."""
    await it.deployment.start()
    future, waiting = it.calls("ab")
    await turn()
    (call,) = worker.calls[0]
    worker.begin()
    worker.open(call)
    return call, parts_of(future), waiting


def test_an_async_worker_gets_as_many_calls_as_it_runs_at_a_time_and_no_more() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(max_concurrency=3))
        await it.deployment.start()
        futures = it.calls("abcde")
        await turn()
        assert sum(map(len, worker.frames)) == 3
        worker.answer(worker.calls[0][0])
        await turn()
        sent = [call for frame in worker.calls for call in frame]
        assert [call.body for call in sent] == [b"a", b"b", b"c", b"d"]
        worker.answer(*reversed(sent[1:]))
        await turn()
        worker.answer(worker.calls[-1][0])
        assert [text(future) for future in futures] == list("abcde")

    run(story())


def test_the_death_of_an_async_worker_fails_what_it_had_begun_and_no_more() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(max_concurrency=3), other := FakeReplica("m-1", max_concurrency=3))
        await it.deployment.start()
        futures = it.calls("abcd")
        await turn()
        worker.begin(2)
        worker.die()
        await it.until(lambda: other.calls)
        other.answer(*(call for frame in other.calls for call in frame))
        assert [code(future) for future in futures[:2]] == ["worker_died"] * 2
        assert [text(future) for future in futures[2:]] == ["c", "d"]

    run(story())


def test_each_async_call_has_its_own_time_and_is_cancelled_when_it_is_over() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(max_concurrency=3), predict_timeout_s=1.0)
        await it.deployment.start()
        first = it.call("a")
        await turn()
        await asyncio.sleep(0.6)
        second = it.call("b")
        await turn()
        worker.begin(2)
        await first
        assert 1.0 <= now() <= 1.3
        assert code(first) == "predict_timeout"
        assert worker.cancelled == [worker.calls[0][0].id]
        worker.answer(worker.calls[0][0])  # the cancelled one
        worker.answer(worker.calls[1][0])
        assert text(second) == "b"
        await asyncio.sleep(5)
        assert worker.ends == []

    run(story())


def test_an_async_worker_that_does_not_hear_of_cancelling_is_ended_and_the_innocent_are_run_again() -> None:
    async def story() -> None:
        it = Story(
            worker := FakeReplica(max_concurrency=3),
            other := FakeReplica("m-1", max_concurrency=3),
            predict_timeout_s=1.0,
        )
        await it.deployment.start()
        blocks = it.call("a")
        await turn()
        worker.begin()
        await asyncio.sleep(1.5)
        innocent = it.call("b")
        await turn()
        worker.begin()
        await it.until(lambda: other.calls)
        assert worker.ends == ["timeout"]
        other.answer(*other.calls[0])
        assert (code(blocks), text(innocent)) == ("predict_timeout", "b")

    run(story())


def test_a_call_that_a_blocked_async_worker_never_began_is_run_by_another() -> None:
    async def story() -> None:
        it = Story(
            worker := FakeReplica(max_concurrency=3),
            other := FakeReplica("m-1", max_concurrency=3),
            predict_timeout_s=1.0,
        )
        await it.deployment.start()
        future = it.call("a")
        await it.until(lambda: other.calls)
        assert worker.ends == ["timeout"]
        assert worker.cancelled == []
        assert 1.0 <= now() <= 1.3
        other.answer(*other.calls[0])
        assert text(future) == "a"

    run(story())


def test_the_parts_of_a_stream_come_in_order_and_the_worker_is_told_what_was_read() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True))
        call, parts, waiting = await opened(it, worker)
        for number in range(FIRST_PARTS):
            worker.part(call, b"%d" % number)
        assert parts.is_held
        read = [await anext(parts) for _ in range(FIRST_PARTS)]
        assert [part.data for part in read] == [b"%d" % number for number in range(FIRST_PARTS)]
        assert worker.allowed == [FIRST_PARTS // 2] * 2
        await turn()
        assert len(worker.calls) == 1, "a stream keeps its worker until its last part"
        worker.part(call, b"end", last=True)
        assert [part.data async for part in parts] == [b"end"]
        await turn()
        worker.answer(*worker.calls[1])
        assert text(waiting) == "b"

    run(story())


def test_a_reader_waits_for_parts_that_have_not_come() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True))
        await it.deployment.start()
        future = it.call("a")
        await turn()
        worker.open(worker.calls[0][0])
        reading = asyncio.ensure_future(anext(parts_of(future)))
        await asyncio.sleep(1)
        assert not reading.done()
        worker.part(worker.calls[0][0], b"x")
        assert (await reading).data == b"x"

    run(story())


def test_closing_a_stream_tells_its_worker_once_and_what_still_comes_is_dropped() -> None:
    """E07."""

    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True))
        call, parts, waiting = await opened(it, worker)
        parts.close()
        parts.close()
        assert worker.cancelled == [call.id]
        worker.part(call, b"late")
        assert [part async for part in parts] == []
        worker.part(call, b"", last=True)
        await turn()
        worker.answer(*worker.calls[1])
        assert text(waiting) == "b"

    run(story())


def test_a_stream_that_begins_after_its_client_has_left_is_closed() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True))
        await it.deployment.start()
        future = it.call("a")
        await turn()
        (call,) = worker.calls[0]
        future.cancel()
        worker.open(call)
        assert worker.cancelled == [call.id, call.id]
        worker.part(call, b"", last=True)
        await it.deployment.drain()

    run(story())


def test_the_death_of_a_worker_in_mid_stream_ends_it_uncleanly_after_what_had_come() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True), FakeReplica("m-1", streams=True))
        await it.deployment.start()
        future = it.call("a")
        await turn()
        (call,) = worker.calls[0]
        worker.begin()
        worker.open(call)
        worker.part(call, b"x")
        worker.die()
        parts = [part async for part in parts_of(future)]
        assert [(part.data, part.last) for part in parts] == [(b"x", False), (b"", True)]
        assert parts[1].failure is not None
        assert parts[1].failure.code == "worker_died"

    run(story())


def test_a_stream_that_stands_still_is_timed_out_but_not_while_its_client_is_slow_to_read() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True), FakeReplica("m-1", streams=True), predict_timeout_s=1.0)
        await it.deployment.start()
        future = it.call("a")
        await turn()
        (call,) = worker.calls[0]
        worker.begin()
        worker.open(call)
        parts = parts_of(future)
        for _ in range(FIRST_PARTS):
            await asyncio.sleep(0.8)
            worker.part(call, b"x")
        await asyncio.sleep(10)
        assert worker.ends == [], "it waits for its client"
        for _ in range(FIRST_PARTS):
            await anext(parts)
        last = await anext(parts)
        assert last.failure is not None
        assert last.failure.code == "predict_timeout"
        assert worker.ends == ["timeout"]

    run(story())


def test_a_stream_whose_client_has_left_has_its_time_to_end_however_much_was_unread() -> None:
    """E07."""

    async def story() -> None:
        workers = (FakeReplica(streams=True), FakeReplica("m-1", streams=True))
        it = Story(*workers, predict_timeout_s=1.0)
        call, parts, waiting = await opened(it, workers[0])
        for _ in range(FIRST_PARTS):
            workers[0].part(call, b"x")
        await asyncio.sleep(10)
        parts.close()
        await asyncio.sleep(0.8)
        assert workers[0].ends == []
        await it.until(lambda: workers[1].calls)
        assert workers[0].ends == ["timeout"]
        workers[1].answer(*workers[1].calls[0])
        assert text(waiting) == "b"

    run(story())


def test_a_deadline_ends_a_stream_too() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica(streams=True))
        await it.deployment.start()
        future = it.call("a", deadline=2.0)
        await turn()
        worker.begin()
        worker.open(worker.calls[0][0])
        (part,) = [part async for part in parts_of(future)]
        assert now() == 2.0
        assert part.failure is not None
        assert part.failure.code == "predict_timeout"
        assert worker.cancelled

    run(story())


def test_a_large_part_counts_as_several() -> None:
    async def story() -> None:
        it = Story(worker := FakeReplica())
        call, parts, _ = await opened(it, worker)
        worker.part(call, bytes(FIRST_PARTS * PART_BYTES))
        held = [parts.is_held]
        await anext(parts)
        held.append(parts.is_held)
        assert held == [True, False]
        assert worker.allowed == [FIRST_PARTS + 1]
        worker.part(call, b"", last=True)

    run(story())
