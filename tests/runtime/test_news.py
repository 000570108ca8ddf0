"""What a training tells, gathered: nothing that counts is lost, nobody waits, and it costs little."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterator

import pytest

from modelserve.frames import Receiver
from modelserve.messages import Part, TrainingProgress, decode_server_bound, decode_training_event
from modelserve.runtime.news import MOST_BYTES, MOST_POINTS, News
from modelserve.runtime.outlet import Outlet
from modelserve.v2.progress import Progress


class Listening:
    """News on its way through a channel, and the other end of that."""

    def __init__(self) -> None:
        self.channel, self.theirs = socket.socketpair()
        self.channel.settimeout(30)
        self.is_asked = False
        self.news = News(7, Outlet(self.theirs), lambda: self.is_asked, "")
        self.progress = Progress()
        self._receiver = Receiver(decode_server_bound)

    def read(self) -> Iterator[TrainingProgress]:
        """Yield what comes until the other end is closed."""
        while count := self.channel.recv_into(self._receiver.buffer()):
            for part in self._receiver.received(count):
                assert isinstance(part, Part)
                event = decode_training_event(part.data)
                assert isinstance(event, TrainingProgress)
                yield event

    def close(self) -> list[TrainingProgress]:
        """End the training and return all that it has told; a large socket buffer takes it in."""
        self.news.close()
        self.theirs.close()
        return list(self.read())


@pytest.fixture
def listening() -> Iterator[Listening]:
    """A training that has begun."""
    listening = Listening()
    listening.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
    listening.news.start()
    with listening.channel, listening.theirs, listening.progress.reporting(listening.news):
        yield listening


def test_what_is_told_first_comes_at_once(listening: Listening) -> None:
    listening.progress(0.5, loss=0.25)
    assert next(listening.read()) == TrainingProgress(0.5, {"loss": 0.25})


def test_every_step_comes_in_order_and_the_last_fraction(listening: Listening) -> None:
    for step in range(1000):
        listening.progress.log(step=step, loss=step / 2)
        listening.progress((step + 1) / 1000)
    events = listening.close()
    assert [event.step for event in events if event.metrics] == list(range(1000))
    assert [event.metrics for event in events if event.metrics][999] == {"loss": 499.5}
    assert [event.progress for event in events if event.progress is not None][-1] == 1.0


def test_what_has_no_step_is_gathered_and_the_last_value_stays(listening: Listening) -> None:
    for count in range(1000):
        listening.progress(count / 1000, loss=count, **{f"only_{count % 2}": count})
    events = listening.close()
    assert len(events) < 500
    merged = {name: value for event in events for name, value in event.metrics.items()}
    assert merged == {"loss": 999.0, "only_0": 998.0, "only_1": 999.0}
    assert events[-1].progress == 0.999


def test_steps_count_on(listening: Listening) -> None:
    listening.progress.log(loss=1)
    listening.progress.log(loss=2)
    listening.progress.log(step=10, loss=3)
    listening.progress.log()  # a step that has nothing to say
    listening.progress.log(loss=4)
    assert [(event.step, event.metrics["loss"]) for event in listening.close()] == [(0, 1), (1, 2), (10, 3), (12, 4)]


def test_metrics_of_one_step_are_one_point(listening: Listening) -> None:
    listening.progress.log(step=0, started=1)
    listening.progress.log(step=1, loss=1)
    listening.progress.log(step=1, accuracy=2)
    merged = {name: value for event in listening.close() if event.step == 1 for name, value in event.metrics.items()}
    assert merged == {"loss": 1, "accuracy": 2}


def test_of_more_points_than_are_gathered_every_second_one_goes_but_never_the_last() -> None:
    listening = Listening()  # not started, so all of it is gathered
    with listening.channel, listening.theirs, listening.progress.reporting(listening.news):
        for step in range(10 * MOST_POINTS):
            listening.progress.log(step=step, loss=step)
        listening.news.start()
        steps = [event.step or 0 for event in listening.close()]
    assert MOST_POINTS / 2 <= len(steps) <= MOST_POINTS
    assert (steps[0], steps[-1]) == (0, 10 * MOST_POINTS - 1)
    assert steps == sorted(set(steps))


def test_of_many_large_points_as_many_are_kept_as_there_is_room_for(listening: Listening) -> None:
    """X7: so that what is sent ten times a second is no burden for the server."""
    names = [f"{'n' * 90}{number}" for number in range(100)]
    with listening.news._lock:  # nothing is sent meanwhile
        for step in range(1000):
            listening.news._add(step, dict.fromkeys(names, 0.5))
    told = listening.close()
    assert (told[0].step, told[-1].step) == (0, 999)
    assert 10 <= len(told) <= 2 * MOST_BYTES / (100 * 115)


def test_nan_is_null_and_a_name_that_is_no_unicode_is_escaped(listening: Listening) -> None:
    listening.progress.log(a=math.nan, b=math.inf, **{"\ud800": 1})
    assert [event.metrics for event in listening.close()] == [{"a": None, "b": None, "\\ud800": 1.0}]


def test_a_fraction_that_is_unknown_leaves_the_one_before(listening: Listening) -> None:
    listening.progress(0.25)
    listening.progress(math.nan)
    assert [event.progress for event in listening.close()] == [0.25]


def test_that_it_was_asked_to_end_and_has_seen_it_is_remembered(listening: Listening) -> None:
    seen = [(listening.progress.cancelled, listening.news.heeded)]
    listening.is_asked = True
    heeded = listening.news.heeded
    seen.append((listening.progress.cancelled, listening.news.heeded))
    assert (seen, heeded) == ([(False, False), (True, True)], False)


def test_a_hundred_thousand_calls_cost_little(listening: Listening) -> None:
    since = time.process_time()
    for step in range(100_000):
        listening.progress(step / 100_000, loss=0.1)
    assert time.process_time() - since < 2


def test_a_server_that_does_not_read_holds_nobody_up() -> None:
    listening = Listening()
    listening.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listening.news.start()
    with listening.channel, listening.theirs, listening.progress.reporting(listening.news):
        since = time.monotonic()
        for step in range(50_000):
            listening.progress.log(step=step, loss=step)
        assert time.monotonic() - since < 10
        steps: list[int] = []
        for event in listening.read():
            steps.append(event.step or 0)
            if steps[-1] == 49_999:
                break
        assert steps == sorted(set(steps))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_tells_nothing(listening: Listening) -> None:
    pid = os.fork()
    if not pid:
        listening.progress(0.5, loss=1)
        listening.progress.log(loss=1)
        os._exit(0 if listening.news._points == [] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert listening.close() == []


def test_a_server_that_has_gone_ends_the_thread(listening: Listening) -> None:
    listening.channel.close()
    listening.progress(0.5)
    listening.news._thread.join(30)
    assert not listening.news._thread.is_alive()
