"""What a worker says of its model's own metrics, over a real socket pair and from the library's real registry."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from modelserve.frames import Receiver
from modelserve.messages import MOST_SERIES, Family, Sample, Scraped, decode_server_bound
from modelserve.runtime.model_metrics import ModelMetrics
from modelserve.runtime.outlet import Outlet


class Asking:
    """The server's end of a worker that is asked."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self._ours = ours
        self._receiver = Receiver(decode_server_bound)
        self._said: list[Any] = []
        self.metrics = ModelMetrics(Outlet(theirs))

    def heard(self) -> Scraped:
        """Wait for the next answer."""
        while not self._said:
            self._said += self._receiver.received(self._ours.recv_into(self._receiver.buffer()))
        said: Scraped = self._said.pop(0)
        return said

    def families(self) -> dict[str, Family]:
        """Ask, and return what there is by its name."""
        self.metrics.ask()
        return {family.name: family for family in self.heard().families}


@pytest.fixture
def asking() -> Iterator[Asking]:
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours, theirs:
        yield Asking(ours, theirs)


@contextlib.contextmanager
def registered(collector: Collector) -> Iterator[None]:
    """Have something in the library's registry while the block runs."""
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


class Own(Collector):
    """A collector of the model's own, that does something else."""

    def __init__(self, does: Any) -> None:
        self._does = does

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self._does()
        yield Metric("own", "Of the model.", "gauge")


def test_what_a_model_has_made_is_said_and_not_what_the_library_tells_of_every_process(asking: Asking) -> None:
    seen, level = (
        Counter("seen", "Seen.", ["kind"], registry=None),
        Gauge("level", "A level.", multiprocess_mode="livesum", registry=None),
    )
    with registered(seen), registered(level):
        seen.labels("a\ud800").inc(2)
        assert asking.families() == {
            "seen": Family("seen", "counter", "Seen.", "", [Sample("seen_total", {"kind": "a\\ud800"}, 2.0)]),
            "level": Family("level", "gauge", "A level.", "livesum", [Sample("level", {}, 0.0)]),
        }


def test_more_series_than_there_is_room_for_are_not_said(asking: Asking) -> None:
    """N03."""
    many, more = Counter("many", "Many.", ["kind"], registry=None), Counter("more", "More.", registry=None)
    with registered(many), registered(more):
        for number in range(MOST_SERIES + 5):
            many.labels(str(number))
        asking.metrics.ask()
        said = asking.heard()
    assert [len(family.samples) for family in said.families] == [MOST_SERIES, 0]
    assert said.dropped == 6


def test_a_histogram_finds_room_whole_or_not_at_all(asking: Asking) -> None:
    """Y14."""
    many = Counter("many", "Many.", ["kind"], registry=None)
    sizes = Histogram("sizes", "Sizes.", ["kind"], buckets=(1, 2), registry=None)  # of 5 series each
    with registered(many), registered(sizes):
        for number in range(MOST_SERIES - 7):
            many.labels(str(number))
        for name in ("a", "b"):
            sizes.labels(name)
        asking.metrics.ask()
        said = asking.heard()
    assert [len(family.samples) for family in said.families] == [MOST_SERIES - 7, 5]
    assert {sample.labels["kind"] for sample in said.families[1].samples} == {"a"}
    assert said.dropped == 5


def test_a_collector_that_raises_is_logged_once_and_ends_nothing(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said last stands."""
    with registered(Counter("seen", "Seen.", registry=None)):
        assert set(asking.families()) == {"seen"}
        with registered(Own(lambda: 1 / 0)):
            assert set(asking.families()) == {"seen"}
            assert set(asking.families()) == {"seen"}
        assert caplog.text.count("the model's own metrics cannot be read") == 1
    assert asking.families() == {}


def test_a_collector_that_hangs_holds_nobody_and_is_asked_no_more_meanwhile(asking: Asking) -> None:
    asked, goes_on = threading.Semaphore(0), threading.Event()

    def hang() -> None:
        asked.release()
        goes_on.wait(30)

    with registered(Own(hang)):
        for _ in range(5):
            asking.metrics.ask()
        assert asked.acquire(timeout=30)
        goes_on.set()
        assert [family.name for family in asking.heard().families] == ["own"]
        assert not asked.acquire(blocking=False)
