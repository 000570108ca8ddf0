"""The speed that modelserve is to reach, and whether a run reached it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .figures import Figure
from .measure import Row

__all__ = ["Verdict", "verdicts"]


@dataclass(frozen=True)
class Verdict:
    """One target: what it says, what was found, and whether that meets it."""

    target: str
    found: str
    met: bool


class _Found:
    """The rows and figures of a run, by name.

    Raises:
        KeyError: It was not measured; its targets are then not judged.
    """

    def __init__(self, rows: Sequence[Row], figures: Sequence[Figure]) -> None:
        self._rows = {(row.case, row.connections): row for row in rows}
        self._figures = {figure.name: figure.value for figure in figures}

    def ratio(self, case: str, connections: int) -> float:
        found = self._rows[case, connections].ratio
        if found is None:
            raise KeyError(case)
        return found

    def rate(self, case: str, connections: int) -> float:
        return self._rows[case, connections].rate

    def slower(self, case: str, other: str, connections: int) -> float:
        return self._rows[case, connections].p50_ms / self._rows[other, connections].p50_ms

    def figure(self, name: str) -> float:
        return self._figures[name]


@dataclass(frozen=True)
class _Target:
    """``value`` is to be ``limit`` or more, or, with ``most``, ``limit`` or less."""

    sentence: str
    value: Callable[[_Found], float]
    limit: float
    most: bool = False
    unit: str = ""

    def judged(self, found: _Found) -> Verdict:
        value = self.value(found)
        met = value <= self.limit if self.most else value >= self.limit
        sentence = f"{self.sentence}: {'at most' if self.most else 'at least'} {self.limit:,g}{self.unit}"
        return Verdict(sentence, f"{value:,.{0 if value >= 1000 else 2}f}{self.unit}", met)


def _lower_of_both(found: _Found) -> float:
    return found.rate("mlp-batched", 64) / min(found.rate("bare-mlp", 64), found.figure("mlp.loop"))


_ALL = (
    _Target("Small JSON at 64 connections, beside the bare handler", lambda found: found.ratio("adder", 64), 0.65),
    _Target(
        "Small JSON at 1 connection, p50 beside the bare handler's",
        lambda found: found.slower("adder", "bare", 1),
        2.5,
        most=True,
        unit=" times",
    ),
    _Target(
        "MLP batched at 64 connections, beside the lower of the bare handler with its body and its own loop",
        _lower_of_both,
        0.8,
    ),
    _Target("MLP batched at 64 connections", lambda found: found.rate("mlp-batched", 64), 20_000, unit=" per second"),
    # Two loads of the same server differ by some percent here; a timer that is waited out costs nine tenths.
    _Target(
        "MLP at 1 connection, with batching beside without (1 less noise)",
        lambda found: found.rate("mlp-batched", 1) / found.rate("mlp", 1),
        0.95,
    ),
    _Target("Upload of 8 MiB at 1 connection, beside bare", lambda found: found.ratio("upload", 1), 0.65),
    _Target("Upload of 8 MiB at 4 connections, beside bare", lambda found: found.ratio("upload", 4), 1.0),
    _Target("Answer of 4 MiB at 1 connection, beside bare", lambda found: found.ratio("answer", 1), 0.6),
    _Target("Answer of 4 MiB at 4 connections, beside bare", lambda found: found.ratio("answer", 4), 0.6),
    _Target(
        "Sleep of 10 ms by 2 workers at 16 connections, of 200 per second",
        lambda found: found.rate("sleep", 16) / 200,
        0.95,
    ),
    _Target("Start to first answer", lambda found: found.figure("start"), 1.0, most=True, unit=" s"),
    _Target("PSS of the server's process", lambda found: found.figure("pss.server"), 60, most=True, unit=" MB"),
    _Target("PSS of a trivial worker", lambda found: found.figure("pss.worker"), 60, most=True, unit=" MB"),
)


def verdicts(rows: Sequence[Row], figures: Sequence[Figure]) -> list[Verdict]:
    """Return a verdict on every target of which all was measured."""
    found = _Found(rows, figures)
    made = []
    for target in _ALL:
        try:
            made.append(target.judged(found))
        except KeyError:
            continue
    return made
