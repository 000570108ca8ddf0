"""The metrics that models have of their own, merged over the workers of each deployment.

    what a worker says --add--> Merged --collect--> one family for each name, with the deployment as a label

What only grows (counters, histograms, summaries) is the sum over all workers there have been: a worker that has ended
stays in it with what it said last, and one that begins again at zero, or no longer has a series, takes nothing away. A
gauge is that of the workers there are: their sum, their highest or their lowest where it was made with such a
``multiprocess_mode``, else one series for each, with ``worker`` as a label.

A family that Prometheus could not read is left out, as is one that takes a name of another model's. The log says so
once for each deployment.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric

from modelserve.messages import MOST_SERIES, TEXT_LIMIT, Family, sendable
from modelserve.metrics.checking import names_of, what_is_wrong
from modelserve.metrics.growing import Key, added, begun_again, groups

__all__ = ["Merged"]

logger = logging.getLogger(__name__)

# What grows by itself, and may be summed.
GROWING = frozenset({"counter", "histogram", "summary"})

# What a series of these names would be taken for is ours.
RESERVED = ("modelserve_", "seldon_api_", "process_")

# The names of labels that we give; a model's own label of such a name gets Prometheus' prefix for this case.
OURS = frozenset({"deployment", "worker"})


class _Worker(NamedTuple):
    """Who said something: an identity, and a name that the next in its place has too."""

    identity: object
    name: str


_COMBINED: dict[str, Callable[[Sequence[float]], float]] = {"sum": sum, "max": max, "min": min}


class _Family:
    """One family of one deployment."""

    def __init__(self, said: Family) -> None:
        self.kind = said.kind
        self.mode = said.mode.removeprefix("live")
        self.documentation = said.documentation[:TEXT_LIMIT]
        self.past: dict[Key, float] = {}
        self.last: dict[_Worker, dict[Key, float]] = {}

    def keys(self) -> set[Key]:
        """Return all series there are."""
        return {key for series in (self.past, *self.last.values()) for key in series}

    def put(self, worker: _Worker, new: Mapping[Key, float]) -> None:
        """Take what a worker says now in place of what it said last."""
        if self.kind in GROWING:
            present = groups(self.kind, new)
            for name, old in groups(self.kind, self.last.get(worker, {})).items():
                if begun_again(old, present.get(name, {})):
                    self.past = added(self.past, old)
        self.last[worker] = dict(new)

    def forget(self, worker: _Worker) -> None:
        """The worker has ended."""
        self.put(worker, {})
        del self.last[worker]

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Yield the merged series."""
        if self.kind not in GROWING and self.mode not in _COMBINED:
            for worker, series in self.last.items():
                yield from ((name, {**dict(labels), "worker": worker.name}, v) for (name, labels), v in series.items())
            return
        if self.kind in GROWING:
            sums = functools.reduce(added, self.last.values(), self.past)
            yield from ((name, dict(labels), value) for (name, labels), value in sums.items())
            return
        values: dict[Key, list[float]] = {}
        for series in self.last.values():
            for key, value in series.items():
                values.setdefault(key, []).append(value)
        combine = _COMBINED[self.mode]
        yield from ((name, dict(labels), combine(found)) for (name, labels), found in values.items())


class Merged:
    """A collector of prometheus_client with the own metrics of all models of one server."""

    def __init__(self) -> None:
        self._families: dict[str, dict[str, _Family]] = {}
        self._dropped: dict[str, int] = {}
        self._told: set[str] = set()

    def add(self, deployment: str, identity: object, name: str, said: Sequence[Family], *, dropped: int = 0) -> None:
        """Take all that a worker says, in place of what it said before.

        Args:
            deployment: Whose worker it is.
            identity: Which worker: no other ever has this.
            name: The worker's name, for a label; the next worker in its place may have the same.
            said: Its metrics.
            dropped: How many series it left out itself.
        """
        worker, families = _Worker(identity, name), self._families.setdefault(deployment, {})
        self._drop_namesakes(families, worker)
        room, names = _Room(families, worker), self._names()
        taken: dict[str, dict[Key, float]] = {}
        for each in said[:MOST_SERIES]:
            wrong = "it is said twice" if each.name in taken else _wrong(each, names)
            if wrong:
                room.dropped += len(each.samples)
                self._tell_once(deployment, each, wrong)
                continue
            taken[each.name] = room.take(each)
            names |= dict.fromkeys(names_of(each.name, each.kind), (each.name, each.kind))
            families.setdefault(each.name, _Family(each)).put(worker, taken[each.name])
        for left in families.keys() - taken.keys():
            if worker in families[left].last:
                families[left].put(worker, {})
        self._drop_empty(deployment)
        self._dropped[deployment] = max(dropped, 0) + room.dropped

    def keep_only(self, deployment: str, identities: Collection[object]) -> None:
        """Say which workers there are; of all others, only what they have counted stays."""
        for family in self._families.get(deployment, {}).values():
            for worker in [worker for worker in family.last if worker.identity not in identities]:
                family.forget(worker)
        self._drop_empty(deployment)

    def collect(self) -> Iterator[Metric]:
        """Yield every family once, with the series of all deployments that have it."""
        found: dict[str, Metric] = {}
        for deployment, families in self._families.items():
            for name, family in families.items():
                metric = found.setdefault(name, Metric(name, family.documentation, family.kind))
                for sample, labels, value in family.samples():
                    metric.add_sample(sample, {**labels, "deployment": deployment}, value)
        yield from found.values()
        left_out = GaugeMetricFamily(
            "modelserve_model_series_dropped",
            "Series of a model's own metrics that are left out.",
            labels=["deployment"],
        )
        for deployment, count in self._dropped.items():
            left_out.add_metric([deployment], count)
        yield left_out

    def _names(self) -> dict[str, tuple[str, str]]:
        """Return the name and kind of the family that has each name there is, over all deployments."""
        found = (family for families in self._families.values() for family in families.items())
        return {each: (name, family.kind) for name, family in found for each in names_of(name, family.kind)}

    def _drop_empty(self, deployment: str) -> None:
        """Forget the families without series: a model may have ever new ones."""
        families = self._families.get(deployment, {})
        for name in [name for name, family in families.items() if not family.keys()]:
            del families[name]

    def _tell_once(self, deployment: str, family: Family, wrong: str) -> None:
        if deployment not in self._told:
            self._told.add(deployment)
            words = "the model's own metric %s is left out, and maybe others: %s"
            logger.warning(words, sendable(family.name[:100]), wrong, extra={"deployment": deployment})

    def _drop_namesakes(self, families: Mapping[str, _Family], worker: _Worker) -> None:
        """A worker whose name another has now is gone, even where nobody has said so yet."""
        for family in families.values():
            for other in [other for other in family.last if other.name == worker.name and other != worker]:
                family.forget(other)


class _Room:
    """Which series of a worker find room among those that its deployment has."""

    def __init__(self, families: Mapping[str, _Family], worker: _Worker) -> None:
        self._there = {(name, key) for name, family in families.items() for key in _others(family, worker)}
        self.dropped = 0

    def take(self, family: Family) -> dict[Key, float]:
        """Return the series that find room, all of a histogram or none; when one was made is of no use, and no loss."""
        said: dict[Key, float] = {}
        for sample in family.samples:
            if sample.name != f"{family.name}_created":
                labels = sorted((_label(name), value) for name, value in sample.labels.items())
                said[sample.name, tuple(labels)] = sample.value
        taken: dict[Key, float] = {}
        for series in groups(family.kind, said).values():
            wanted = {(family.name, key) for key in series} - self._there
            if len(self._there) + len(wanted) <= MOST_SERIES:
                self._there |= wanted
                taken |= series
            else:
                self.dropped += len(series)
        return taken


def _wrong(said: Family, names: Mapping[str, tuple[str, str]]) -> str:
    """Return why a family cannot be shown beside those that have these names, "" where it can."""
    wrong = what_is_wrong(said, RESERVED)
    if wrong:
        return wrong
    mine = (said.name, said.kind)
    if any(names.get(each, mine) != mine for each in names_of(*mine)):
        return "its name is that of another metric, maybe of another model"
    if any(len(set(map(_label, sample.labels))) < len(sample.labels) for sample in said.samples):
        return "two of its labels come to the same name"
    return ""


def _others(family: _Family, worker: _Worker) -> set[Key]:
    """Return the series that are there whatever this worker says now."""
    if family.kind in GROWING:
        return family.keys()
    return {key for other, series in family.last.items() if other != worker for key in series}


def _label(name: str) -> str:
    return f"exported_{name}" if name in OURS else name
