"""Adds up what only grows: counters, summaries and histograms, those with other buckets too.

The series of a histogram or a summary with the same labels are one thing, an observation counts in all of them: they
are taken, dropped and begun again together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

from modelserve.messages import whole

__all__ = ["Key", "Series", "added", "begun_again", "groups"]

Key = tuple[str, tuple[tuple[str, str], ...]]
Series = Mapping[Key, float]


def groups(kind: str, series: Series) -> dict[object, dict[Key, float]]:
    """Return the series of a family of this kind, by what belongs together."""
    found: dict[object, dict[Key, float]] = {}
    for (name, labels), value in series.items():
        found.setdefault(whole(kind, labels), {})[name, labels] = value
    return found


def begun_again(old: Series, new: Series) -> bool:
    """Tell whether what belongs together was counted anew; the sum of observations may fall by itself."""
    return any(key not in new or (new[key] < value and not key[0].endswith("_sum")) for key, value in old.items())


def added(one: Series, other: Series) -> dict[Key, float]:
    """Return the sums.

    A bucket counts what is not above its bound. Where only one of two has a bucket of some bound, the other counts with
    its next lower one: so the buckets of a sum never fall, neither with their bound nor with time.
    """
    sums = dict(one)
    for key, value in other.items():
        sums[key] = sums.get(key, 0.0) + value
    for bounds in _bounds(sums).values():
        mine, theirs = _Steps(bounds, one), _Steps(bounds, other)
        if mine.bounds != theirs.bounds:
            for bound, key in bounds:
                del sums[key]  # put behind the others, so that the buckets are in order
                sums[key] = mine.at(bound) + theirs.at(bound)
    return sums


class _Steps:
    """The buckets of one histogram, as far as a series has them."""

    def __init__(self, bounds: Iterable[tuple[float, Key]], series: Series) -> None:
        there = [(bound, series[key]) for bound, key in bounds if key in series]
        self.bounds = [bound for bound, _ in there]
        self._counts = [count for _, count in there]

    def at(self, bound: float) -> float:
        """Return how many were not above a bound, as far as is known."""
        place = bisect_right(self.bounds, bound)
        return self._counts[place - 1] if place else 0.0


def _bounds(series: Series) -> dict[object, list[tuple[float, Key]]]:
    """Return the buckets of each histogram, by their bounds in order."""
    found: dict[object, list[tuple[float, Key]]] = {}
    for bucket, bound, key in _buckets(series):
        found.setdefault(bucket, []).append((bound, key))
    return {bucket: sorted(bounds) for bucket, bounds in found.items()}


def _buckets(series: Series) -> Iterator[tuple[object, float, Key]]:
    for key in series:
        name, labels = key
        bound = dict(labels).get("le")
        if bound is not None and name.endswith("_bucket"):
            yield whole("histogram", labels), _number(bound), key


def _number(bound: str) -> float:
    try:
        return float(bound)
    except ValueError:  # the model's own collector may say anything
        return math.inf
