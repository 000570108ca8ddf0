"""Medians, ratios and spreads of made-up samples."""

from __future__ import annotations

import pytest

from benchmarks.load import Outcome
from benchmarks.measure import Sample, Schedule, rows

_BESIDE = {"bare": "bare", "adder": "bare"}


def _sample(case: str, rate: int, *, p99_ms: float = 1.0, other_s: float = 0.0) -> Sample:
    outcome = Outcome(requests=rate, duration_s=1.0, p50_ms=0.5, p99_ms=p99_ms, errors=0)
    return Sample(case, 16, outcome, front_s=0.5, workers_s=0.25, load_s=0.1, other_s=other_s)


def test_a_ratio_is_taken_within_each_repeat_so_that_a_slow_minute_does_not_bend_it() -> None:
    samples = [
        *(_sample("bare", 1000), _sample("adder", 600)),
        *(_sample("bare", 500), _sample("adder", 300)),
        *(_sample("bare", 800), _sample("adder", 480)),
    ]
    bare, adder = rows(samples, _BESIDE)
    assert bare.ratio == pytest.approx(1.0)
    assert adder.ratio == pytest.approx(0.6)
    assert adder.rate == 480
    assert adder.spread == pytest.approx(300 / 480)


def test_without_the_yardstick_there_is_no_ratio() -> None:
    [row] = rows([_sample("adder", 600)], _BESIDE)
    assert row.ratio is None


def test_cpu_is_told_per_request_and_other_work_by_its_worst_repeat() -> None:
    [row] = rows([_sample("bare", 1000, other_s=0.1), _sample("bare", 1000, other_s=0.9)], _BESIDE)
    assert row.front_us == pytest.approx(500)
    assert row.workers_us == pytest.approx(250)
    assert row.other_cores == pytest.approx(0.9)


def test_the_schedule_knows_its_length() -> None:
    schedule = Schedule(connections=(1, 16, 64), repeats=3, duration_s=5, warm_s=2)
    assert schedule.steps(4) == 4 * 10
    assert schedule.seconds(4) == 4 * 47
