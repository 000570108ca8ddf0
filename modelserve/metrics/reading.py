"""Instruments that are read where their numbers are anyway, each time the metrics are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

__all__ = ["Found", "JobCounts", "JobsRead", "Read"]

# The values of labels, and the number that belongs to them.
Found = Mapping[tuple[str, ...], float]

Family = GaugeMetricFamily | CounterMetricFamily


class JobCounts(NamedTuple):
    """How many jobs there are, by deployment, operation and status: those that wait or run, and all that have ended."""

    present: Mapping[tuple[str, str, str], int]
    ended: Mapping[tuple[str, str, str], int]


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
