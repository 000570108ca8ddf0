"""The worker's way out: what is gathered, what is sent at once, and in which order."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from modelserve.frames import INLINE_BYTES, Receiver
from modelserve.messages import Answer, Answers, Part, Stage, decode_server_bound
from modelserve.runtime.outlet import GATHER_NS, LARGE_BYTES, Outlet
from tests.running import eventually


class Other:
    """The other side of an outlet."""

    def __init__(self) -> None:
        self.channel, self.theirs = socket.socketpair()
        self._receiver = Receiver(decode_server_bound)

    def messages(self) -> list[Any]:
        """Return what has come and was not returned yet."""
        found: list[Any] = []
        try:
            while True:
                count = self.channel.recv_into(self._receiver.buffer(), 0, socket.MSG_DONTWAIT)
                found += self._receiver.received(count)
        except BlockingIOError:
            return found


@pytest.fixture
def other() -> Iterator[Other]:
    other = Other()
    with other.channel, other.theirs:
        yield other


def ids(message: Any) -> list[int]:
    assert isinstance(message, Answers)
    return [answer.id for answer in message.answers]


def test_answers_are_gathered_until_they_are_flushed(other: Other) -> None:
    outlet = Outlet(other.theirs)
    outlet.begin()
    outlet.gather(Answer(1))
    outlet.gather(Answer(2))
    assert other.messages() == []
    outlet.flush()
    (message,) = other.messages()
    assert ids(message) == [1, 2]
    assert message.busy_ns > 0
    outlet.flush()
    assert other.messages() == []


def test_an_answer_after_a_long_time_is_sent_with_those_before_it(other: Other) -> None:
    outlet = Outlet(other.theirs)
    outlet.begin()
    outlet.gather(Answer(1))
    outlet.begin()
    came: list[Any] = []
    while not came:
        outlet.add(Answer(2))
        came = other.messages()
    assert ids(came[0])[:2] == [1, 2]


def test_what_waits_long_enough_can_be_sent_by_another_thread(other: Other) -> None:
    outlet = Outlet(other.theirs)
    outlet.begin()
    outlet.gather(Answer(1))
    outlet.flush_old()
    assert other.messages() == [], "it has only just come"
    end = time.monotonic_ns() + GATHER_NS
    eventually(lambda: time.monotonic_ns() > end)
    outlet.flush_old()
    assert ids(other.messages()[0]) == [1]


def test_a_message_that_is_sent_at_once_does_not_overtake_answers(other: Other) -> None:
    outlet = Outlet(other.theirs)
    outlet.gather(Answer(1))
    outlet.send(Part(1, b"x"))
    outlet.send(Stage("warm"))
    answers, part, stage = other.messages()
    assert (ids(answers), part, stage) == ([1], Part(1, b"x"), Stage("warm"))


@pytest.mark.parametrize("method", ["add", "gather"])
def test_a_large_answer_is_not_held(other: Other, method: str) -> None:
    other.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LARGE_BYTES)
    outlet = Outlet(other.theirs)
    outlet.begin()
    getattr(outlet, method)(Answer(1, body=b"x" * (LARGE_BYTES + 1)))
    (message,) = other.messages()
    assert len(message.answers[0].body) > INLINE_BYTES
