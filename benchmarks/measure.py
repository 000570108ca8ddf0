"""The measuring itself: which load meets which server when, and what the machine did meanwhile.

for each number of connections, for each repeat: every server in turn  ->  samples  ->  one row of medians each
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from .load import BenchmarkError, Load, Outcome
from .servers import Server

__all__ = ["Row", "Sample", "Schedule", "rows", "run"]


@dataclass(frozen=True)
class Schedule:
    """How often and how long each server is loaded, after ``warm_s`` seconds each at the most connections."""

    connections: tuple[int, ...] = (1, 16, 64)
    repeats: int = 3
    duration_s: int = 5
    warm_s: int = 2

    def steps(self, servers: int) -> int:
        """Return how many loads the whole run makes, the warming ones included."""
        return servers * (1 + len(self.connections) * self.repeats)

    def seconds(self, servers: int) -> int:
        """Return how long the loads take in all."""
        return servers * (self.warm_s + len(self.connections) * self.repeats * self.duration_s)


@dataclass(frozen=True)
class Sample:
    """One load: its outcome, and seconds of CPU by who used them; ``other_s`` is of the rest, stolen time included."""

    case: str
    connections: int
    outcome: Outcome
    front_s: float
    workers_s: float
    load_s: float
    other_s: float


@dataclass(frozen=True)
class Row:
    """Medians over the repeats for one server at one number of connections.

    ``ratio`` is the rate over the yardstick's of the same repeat, None where it was not measured: a machine changes
    its speed by the minute, and the two lie seconds apart. ``spread`` is (highest - lowest) / median of the rate.
    ``front_us`` and ``workers_us`` are CPU microseconds per request. ``other_cores`` is how many cores the rest of the
    machine kept busy at most.
    """

    case: str
    connections: int
    rate: float
    ratio: float | None
    p50_ms: float
    p99_ms: float
    spread: float
    front_us: float
    workers_us: float
    other_cores: float


def run(servers: Sequence[Server], load: Load, schedule: Schedule, step: Callable[[str], None]) -> list[Sample]:
    """Warm every server, then load them in turn; ``step`` is told before each load what comes.

    Raises:
        BenchmarkError: A request was not answered with a 2xx, or an answer was wrong before or after the load.
    """
    for server in servers:
        step(f"{server.case.name}: warming")
        _sample(server, load, max(schedule.connections), schedule.warm_s)
    return [
        _measured(server, load, connections, schedule.duration_s, step)
        for connections in schedule.connections
        for repeat in range(schedule.repeats)
        for server in _turned(servers, repeat)
    ]


def _turned(servers: Sequence[Server], by: int) -> Iterator[Server]:
    # Each repeat starts with another server, so that none always follows the same one.
    for number in range(len(servers)):
        yield servers[(number + by) % len(servers)]


def _measured(server: Server, load: Load, connections: int, duration_s: int, step: Callable[[str], None]) -> Sample:
    step(f"{server.case.name}: {connections} connection(s)")
    sample = _sample(server, load, connections, duration_s)
    server.check()
    return sample


def _sample(server: Server, load: Load, connections: int, duration_s: int) -> Sample:
    before, machine, children = server.cpu_time(), _machine_s(), _children_s()
    outcome = _outcome(server, load, connections, duration_s)
    after = server.cpu_time()
    front_s, workers_s = after.front_s - before.front_s, after.workers_s - before.workers_s
    load_s = _children_s() - children
    other_s = max(0.0, _machine_s() - machine - front_s - workers_s - load_s)
    return Sample(server.case.name, connections, outcome, front_s, workers_s, load_s, other_s)


def _outcome(server: Server, load: Load, connections: int, duration_s: int) -> Outcome:
    try:
        outcome = load.run(server.request, connections=connections, duration_s=duration_s)
    except BenchmarkError as error:
        raise BenchmarkError(f"{error} {server.last_words()}") from error
    if outcome.errors or not outcome.requests:
        failed = f"{outcome.errors} of {outcome.requests} requests failed"
        raise BenchmarkError(f"{failed} at {connections} connection(s). {server.last_words()}")
    return outcome


def _machine_s() -> float:
    # Stolen time is what another guest of the host used while this one wanted to run: it spoils figures as well.
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _children_s() -> float:
    # The load generator is the only child that is waited for while the servers run.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows(samples: Sequence[Sample], beside: Mapping[str, str]) -> list[Row]:
    """Return one row per server and number of connections, in the order they were first measured.

    Args:
        samples: All loads of one group.
        beside: For each case, the case that is its yardstick.
    """
    groups: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.connections, sample.case), []).append(sample)
    return [_row(group, groups.get((connections, beside[case]), [])) for (connections, case), group in groups.items()]


def _row(group: Sequence[Sample], yardstick: Sequence[Sample]) -> Row:
    rates = [sample.outcome.rate for sample in group]
    # Both are in the order of the repeats.
    ratios = [one.outcome.rate / other.outcome.rate for one, other in zip(group, yardstick, strict=False)]
    rate = median(rates)
    return Row(
        case=group[0].case,
        connections=group[0].connections,
        rate=rate,
        ratio=median(ratios) if ratios else None,
        p50_ms=median(sample.outcome.p50_ms for sample in group),
        p99_ms=median(sample.outcome.p99_ms for sample in group),
        spread=(max(rates) - min(rates)) / rate,
        front_us=median(sample.front_s / sample.outcome.requests for sample in group) * 1e6,
        workers_us=median(sample.workers_s / sample.outcome.requests for sample in group) * 1e6,
        other_cores=max(sample.other_s / sample.outcome.duration_s for sample in group),
    )
