"""The targets, judged on made-up rows and figures."""

from __future__ import annotations

from benchmarks.figures import Figure
from benchmarks.measure import Row
from benchmarks.targets import verdicts


def _row(case: str, connections: int, *, rate: float = 1000, ratio: float | None = 1.0, p50_ms: float = 1.0) -> Row:
    return Row(case, connections, rate, ratio, p50_ms, 2.0, 0.0, 10.0, 10.0, 0.0)


def test_a_target_is_met_from_its_limit_on() -> None:
    [just] = verdicts([_row("adder", 64, ratio=0.65)], [])
    [under] = verdicts([_row("adder", 64, ratio=0.64)], [])
    assert just.met
    assert not under.met
    assert under.found == "0.64"
    assert "at least 0.65" in under.target


def test_what_was_not_measured_is_not_judged() -> None:
    assert verdicts([], []) == []
    assert verdicts([_row("upload", 1, ratio=None)], []) == []


def test_the_perceptron_is_held_to_the_lower_of_the_bare_handler_and_its_own_loop() -> None:
    rows = [_row("mlp-batched", 64, rate=16_000), _row("bare-mlp", 64, rate=30_000)]
    found = verdicts(rows, [Figure("mlp.loop", "", 20_000, "")])
    assert [(one.found, one.met) for one in found] == [("0.80", True), ("16,000 per second", False)]


def test_a_latency_is_held_to_a_most() -> None:
    rows = [_row("bare", 1, p50_ms=0.2), _row("adder", 1, p50_ms=0.6)]
    [slow] = verdicts(rows, [])
    assert not slow.met
    assert slow.found == "3.00 times"


def test_start_and_memory_come_from_the_figures() -> None:
    figures = [Figure("start", "", 0.9, "s"), Figure("pss.server", "", 61, "MB"), Figure("pss.worker", "", 20, "MB")]
    assert [one.met for one in verdicts([], figures)] == [True, False, True]
