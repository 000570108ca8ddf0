"""What waits: in order, within its limits, and free again at once when it is given up."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.errors import QueueFull
from modelserve.messages import Call
from modelserve.runtime.pending import Pending
from modelserve.runtime.queue import GAPS, Queue, size_of


def pending(queue: Queue, body: bytes = b"") -> Pending:
    call = Call(body=body)
    return Pending.of(call, size_of(call), queue.forget, asyncio.get_running_loop())


def filled(*bodies: bytes) -> tuple[Queue, list[Pending]]:
    queue = Queue(100, 1000)
    calls = [pending(queue, body) for body in bodies]
    for call in calls:
        queue.push(call)
    return queue, calls


async def test_calls_are_taken_in_order_up_to_the_room() -> None:
    queue, (first, second, third) = filled(b"a", b"bb", b"ccc")
    assert queue.take(2) == [first, second]
    assert (queue.calls, queue.bytes) == (1, 3)
    assert queue.take(2) == [third]
    assert queue.take(2) == []


async def test_one_marked_alone_makes_a_batch_of_its_own() -> None:
    queue, (first, alone, last) = filled(b"a", b"b", b"c")
    alone.alone = True
    assert queue.take(8) == [first]
    assert queue.take(8) == [alone]
    assert queue.take(8) == [last]


async def test_one_marked_alone_that_was_given_up_splits_no_batch() -> None:
    queue, (first, alone, last) = filled(b"a", b"b", b"c")
    alone.alone = True
    alone.cancel()
    assert queue.take(8) == [first, last]


async def test_calls_that_are_put_back_come_first_in_their_order() -> None:
    queue, (first, second, third) = filled(b"a", b"b", b"c")
    queue.put_back(queue.take(2))
    assert queue.bytes == 3
    assert queue.take(3) == [first, second, third]


async def test_what_was_put_back_may_exceed_the_limit_and_only_new_calls_are_refused() -> None:
    queue = Queue(1)
    sent = [pending(queue), pending(queue)]
    queue.put_back(sent)
    with pytest.raises(QueueFull, match="2 calls"):
        queue.check_room(0)
    assert queue.take(9) == sent


async def test_who_is_refused_for_bytes_is_told_how_many_may_wait() -> None:
    queue = Queue(9, 1000)
    queue.put_back([pending(queue)])
    with pytest.raises(QueueFull, match="of 1000 that may"):
        queue.check_room(1001)


async def test_the_body_of_a_call_that_was_given_up_does_not_stay_in_memory() -> None:
    queue, (first, _) = filled(b"x" * 10, b"y")
    first.cancel()
    assert first.call.body == b""
    assert (queue.calls, queue.bytes) == (1, 1)
    assert queue.oldest() is not first


async def test_gaps_are_closed_before_they_are_many() -> None:
    queue, (stays, *leave) = filled(*[b"x"] * 1000)
    for call in leave:
        call.cancel()
    assert len(queue._waiting) <= GAPS + 1
    assert queue.take(10) == [stays]


async def test_clearing_returns_what_waits_and_counts_nothing_any_more() -> None:
    queue, (first, second) = filled(b"a", b"b")
    first.cancel()
    assert queue.clear() == [second]
    assert (queue.calls, queue.bytes) == (0, 0)
    assert queue.oldest() is None
