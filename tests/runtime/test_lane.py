"""How many calls a replica is given, and what becomes of them when it dies."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.messages import Answer, Answers, Call, Description, Failure, Part, Scraped
from modelserve.runtime.interface import FIRST_PARTS, Listener, Misbehaved
from modelserve.runtime.lane import MAX_FRAME_CALLS, Lane
from modelserve.runtime.pending import Pending
from tests.runtime.fakes import describe


class Recorder:
    """A replica that keeps the frames it is sent."""

    name = "recorder"
    pid = 0
    begun = 0

    def __init__(self) -> None:
        self.frames: list[list[int]] = []

    async def start(self, listener: Listener) -> Description:
        raise NotImplementedError

    def send(self, calls: list[Call]) -> None:
        self.frames.append([call.id for call in calls])

    def scrape(self) -> asyncio.Future[Scraped]:
        raise NotImplementedError

    def check(self, call: Call) -> asyncio.Future[Answer]:
        raise NotImplementedError

    def cancel(self, ids: list[int]) -> None:
        raise NotImplementedError

    def more(self, call_id: int, parts: int) -> None:
        raise NotImplementedError

    def end(self, reason: str, detail: str) -> None:
        raise NotImplementedError

    async def stop(self, wait_s: float) -> None:
        raise NotImplementedError


def pendings(*ids: int) -> list[Pending]:
    loop = asyncio.get_running_loop()
    return [Pending.of(Call(id=number), 0, lambda pending: None, loop) for number in ids]


def answers(*ids: int, call_s: float) -> Answers:
    return Answers([Answer(number) for number in ids], busy_ns=int(call_s * 1e9 * len(ids)))


async def test_a_worker_nothing_is_known_of_gets_one_call_at_a_time() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    assert lane.room(100) == 1
    lane.send(pendings(1))
    assert lane.room(100) == 0


@pytest.mark.parametrize(("call_s", "frame"), [(0.00001, MAX_FRAME_CALLS), (0.00015, 6), (0.01, 1)])
async def test_a_frame_holds_about_a_millisecond_of_work(call_s: float, frame: int) -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    for number in range(60):
        lane.send(pendings(number))
        lane.answered(answers(number, call_s=call_s))
    assert lane.room(100) == frame


async def test_a_fast_worker_is_sent_one_frame_ahead_and_no_more() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    for number in range(60):
        lane.send(pendings(number))
        lane.answered(answers(number, call_s=0.0001))
    lane.send(pendings(101))
    assert lane.room(100) > 0
    lane.send(pendings(102))
    assert lane.room(100) == 0


@pytest.mark.parametrize(
    ("call_s", "running", "enough"),
    [
        pytest.param(0.00001, 2, 2, id="soon done: as many as run now"),
        pytest.param(0.0004, 3, 8, id="takes a while: a full frame"),
    ],
)
async def test_a_frame_is_sent_ahead_once_it_is_large_enough(call_s: float, running: int, enough: int) -> None:
    lane = Lane(Recorder(), describe(max_batch_size=8))
    for number in range(60):
        lane.send(pendings(number))
        lane.answered(answers(number, call_s=call_s))
    lane.send(pendings(*range(100, 100 + running)))
    assert lane.room(enough - 1) == 0
    assert lane.room(enough) == 8


async def test_a_slow_worker_has_nothing_sent_ahead() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    lane.send(pendings(1))
    lane.answered(answers(1, call_s=0.5))
    lane.send(pendings(2))
    assert lane.room(100) == 0


async def test_a_batching_model_gets_up_to_its_batch_size_at_once() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=8))
    assert lane.room(100) == 8


async def test_answers_resolve_their_calls() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=4))
    first, second = pendings(1, 2)
    lane.send([first, second])
    lane.answered(answers(2, call_s=0.001))
    assert second.done()
    assert not first.done()
    assert len(lane) == 1


STREAM, FAILED = Answer(1, stream=True), Answer(1, failure=Failure(200, "", ""))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param([Answers([Answer(99)])], "does not have", id="an answer to another call"),
        pytest.param([Answers([Answer(1)]), Answers([Answer(1)])], "does not have", id="two answers"),
        pytest.param([Answers([])], "no call", id="no answer"),
        pytest.param([Answers([FAILED])], "status 200", id="a failure that is none"),
        pytest.param([Answers([Answer(1)], -1)], "busy for", id="less than no time"),
        pytest.param([Answers([Answer(1)], 2**63)], "busy for", id="centuries"),
        pytest.param([Part(1, b"x")], "no stream", id="a part without a stream"),
        pytest.param([Answers([STREAM]), Part(2, b"x")], "no stream", id="a part of another call"),
        pytest.param([Answers([STREAM]), Answers([STREAM])], "second time", id="two streams"),
        pytest.param([Answers([STREAM]), Part(1, last=True), Part(1)], "no stream", id="a part after the last"),
        pytest.param([Answers([STREAM]), *[Part(1, b"x")] * (FIRST_PARTS + 1)], "allowed", id="beyond its credit"),
    ],
)
async def test_a_worker_that_says_what_none_says_is_not_believed(told: list[Answers | Part], words: str) -> None:
    """Y29."""
    lane = Lane(Recorder(), describe(max_batch_size=1))
    lane.send(pendings(1, 3))
    for message in told[:-1]:
        lane.answered(message) if isinstance(message, Answers) else lane.part(message)
    with pytest.raises(Misbehaved, match=words):
        lane.answered(told[-1]) if isinstance(told[-1], Answers) else lane.part(told[-1])


async def test_a_worker_that_says_it_took_no_time_is_given_whole_frames() -> None:
    """Y29."""
    lane = Lane(Recorder(), describe(max_batch_size=1))
    for number in range(10_000):
        lane.send(pendings(number))
        lane.answered(Answers([Answer(number)], busy_ns=0))
    assert lane.room(100) == MAX_FRAME_CALLS


async def test_a_worker_that_has_streamed_gets_one_call_at_a_time_whatever_its_model_says() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    for number in range(2, 100):
        lane.send(pendings(number))
        lane.answered(answers(number, call_s=0.00001))
    assert lane.room(100) == MAX_FRAME_CALLS
    lane.send(pendings(1))
    lane.answered(Answers([STREAM]))
    assert lane.room(100) == 0, "none is to wait behind what a client reads as slowly as it likes"
    lane.part(Part(1, last=True))
    assert lane.room(100) == 1


async def test_after_its_calls_were_given_up_a_worker_may_still_answer_them() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    lane.send(pendings(1, 2))
    lane.clear()
    lane.answered(Answers([Answer(1), STREAM], busy_ns=1))
    lane.part(Part(2, b"x"))
    assert lane.due > 1


async def test_what_cannot_be_sent_is_not_here() -> None:
    """X1."""

    class Deaf(Recorder):
        def send(self, calls: list[Call]) -> None:
            raise MemoryError

    lane = Lane(Deaf(), describe(max_concurrency=4))
    with pytest.raises(MemoryError):
        lane.send(pendings(1))
    assert len(lane) == 0
    assert lane.room(1) == 4


async def test_an_answer_to_a_call_that_was_given_up_is_dropped() -> None:
    lane = Lane(Recorder(), describe(max_batch_size=1))
    (pending,) = pendings(1)
    lane.send([pending])
    pending.cancel()
    lane.answered(answers(1, call_s=0.001))
    assert len(lane) == 0


async def test_death_tells_the_calls_that_were_begun_from_those_that_were_not() -> None:
    replica = Recorder()
    lane = Lane(replica, describe(max_batch_size=2))
    lane.send(pendings(1, 2))
    lane.send(pendings(3, 4))
    lane.answered(answers(1, call_s=0.001))
    replica.begun = 3
    begun, again = lane.clear()
    assert [pending.call.id for pending in begun] == [2, 3]
    assert [pending.call.id for pending in again] == [4]
    assert len(lane) == 0


async def test_short_calls_took_what_their_worker_says() -> None:
    took: list[tuple[float, int]] = []
    lane = Lane(Recorder(), describe(max_batch_size=1), lambda seconds, times: took.append((seconds, times)))
    lane.send(pendings(1, 2))
    lane.answered(answers(1, 2, call_s=0.25))
    assert took == [(0.25, 2)]


async def test_calls_of_a_batch_took_as_long_as_the_batch_which_begins_when_the_one_before_ends() -> None:
    took: list[float] = []
    lane = Lane(Recorder(), describe(max_batch_size=2), lambda seconds, times: took.append(seconds))
    lane.send(pendings(1, 2))
    lane.send(pendings(3, 4))
    await asyncio.sleep(0.2)
    lane.answered(answers(1, 2, call_s=0.001))
    lane.answered(answers(3, 4, call_s=0.001))
    assert min(took[:2]) >= 0.2 > max(took[2:])
