"""Instruments that are read where their numbers are anyway, each time the metrics are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

__all__ = ["Found", "HeldRead", "Holding", "JobCounts", "JobsRead", "Read"]

# The values of labels, and the number that belongs to them.
Found = Mapping[tuple[str, ...], float]

Family = GaugeMetricFamily | CounterMetricFamily


class JobCounts(NamedTuple):
    """How many jobs there are, by deployment, operation and status: those that wait or run, and all that have ended."""

    present: Mapping[tuple[str, str, str], int]
    ended: Mapping[tuple[str, str, str], int]


class Holding(Protocol):
    """Bytes that are held and how many there may be; see held.py."""

    @property
    def what(self) -> str: ...
    @property
    def held(self) -> int: ...
    @property
    def limit(self) -> int: ...


class Read:
    """One family of gauges, or of counters, whose numbers come from functions.

    Args:
        kind: ``GaugeMetricFamily`` or ``CounterMetricFamily``.
        name: Without the ending ``_total`` of a counter.
        documentation: One sentence.
        labels: Their names.
    """

    def __init__(
        self,
        kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
    ) -> None:
        self._kind = kind
        self._texts = (name, documentation)
        self._labels = labels
        self._sources: dict[tuple[str, ...], Callable[[], Found]] = {}

    def watch(self, *values: str, found: Callable[[], Found]) -> None:
        """Read from here; the values come before those that are found. What was watched for them before is not."""
        self._sources[values] = found

    def watch_one(self, *values: str, number: Callable[[], float]) -> None:
        """Read one number from here."""
        self._sources[values] = lambda: {(): number()}

    def collect(self) -> Iterator[Family]:
        """Yield the family."""
        family = self._kind(*self._texts, labels=self._labels)
        for before, found in self._sources.items():
            for values, number in found().items():
                family.add_metric((*before, *values), number)
        yield family


class JobsRead:
    """The instruments of jobs.

    Args:
        counts: Where they are counted.
    """

    _LABELS = ("deployment", "operation", "status")

    def __init__(self, counts: Callable[[], JobCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Family]:
        """Yield them."""
        counts = self._counts()
        present = GaugeMetricFamily("modelserve_jobs", "Jobs that wait or run.", labels=self._LABELS)
        ended = CounterMetricFamily("modelserve_jobs_ended", "Jobs that have ended.", labels=self._LABELS)
        for family, found in ((present, counts.present), (ended, counts.ended)):
            for labels, count in found.items():
                family.add_metric(labels, count)
            yield family


class HeldRead:
    """The instruments of what the server holds; bounds of the same name, as deployments have, are summed."""

    def __init__(self) -> None:
        self._bounds: list[Holding] = []

    def watch(self, bound: Holding) -> None:
        """Tell of this one too."""
        self._bounds.append(bound)

    def collect(self) -> Iterator[Family]:
        """Yield them."""
        held = GaugeMetricFamily("modelserve_held_bytes", "Bytes that the server holds.", labels=["what"])
        limits = GaugeMetricFamily("modelserve_held_limit_bytes", "Bytes that it may hold.", labels=["what"])
        for what in sorted({bound.what for bound in self._bounds}):
            bounds = [bound for bound in self._bounds if bound.what == what]
            held.add_metric([what], sum(bound.held for bound in bounds))
            limits.add_metric([what], sum(bound.limit for bound in bounds))
        yield from (held, limits)
