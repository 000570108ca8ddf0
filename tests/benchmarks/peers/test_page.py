"""The page about the peers, written from made-up samples: whoever is fastest is named, whoever failed too."""

from __future__ import annotations

from benchmarks.load import Outcome
from benchmarks.measure import Sample, Schedule
from benchmarks.peers.loads import Measured, bare_rows
from benchmarks.peers.page import Run, page


def _samples(case: str, rate: int, *, connections: tuple[int, ...] = (1, 64)) -> list[Sample]:
    names = (("bare-adder", 1000), (case, rate))
    return [
        Sample(name, n, Outcome(each, 1.0, 0.5, 1.0, 0), front_s=0.1, workers_s=0.1, load_s=0.1, other_s=0.0)
        for n in connections
        for name, each in names
    ]


def _run(*measured: Measured, own: str = "") -> Run:
    return Run("2026-11-21", "wrk", Schedule(connections=(1, 64)), "0123456789abcdef", measured, own)


OURS = Measured("modelserve", "default", {"adder": _samples("modelserve-adder", 500)}, {"modelserve": "0.1.0"})


def test_where_a_peer_wins_the_page_says_so() -> None:
    fast = Measured("mosec", "one worker", {"adder": _samples("mosec-adder", 1500)}, {"mosec": "0.9.8"})
    text = page(_run(OURS, fast))
    assert "- At 64 connections **mosec is the fastest, 3.00 times modelserve.**" in text
    assert "| modelserve | 500 | 500 | 0.50 | 0.50 | 0.50 | 0.50 | 1.00 | 400 |" in text
    assert "| mosec | mosec 0.9.8 | one worker |" in text


def test_where_modelserve_wins_the_next_is_named() -> None:
    slow = Measured("Ray Serve", "", {"adder": _samples("ray-adder", 250)})
    assert "- At 1 connection modelserve is the fastest, 2.00 times the next, Ray Serve." in page(_run(OURS, slow))


def test_a_peer_that_failed_is_told_with_the_reason_and_with_what_was_measured_before() -> None:
    samples = _samples("bentoml-adder", 100, connections=(1,))
    broken = Measured("BentoML", "", {"adder": samples}, troubles=["x + 1: 3 of 9 requests failed"])
    text = page(_run(OURS, broken))
    assert "| BentoML | 100 | - | 0.10 | - | 0.50 | - | - | - |" in text
    assert "- BentoML: x + 1: 3 of 9 requests failed" in text


def test_a_peer_that_could_not_be_installed_has_no_row() -> None:
    absent = Measured("Peer", "", troubles=["It could not be installed: no such version"])
    text = page(_run(OURS, absent))
    assert "| Peer | - |  |" in text
    assert "could not be installed: no such version" in text


def test_the_bare_handler_is_the_median_over_all_it_was_loaded_beside() -> None:
    [first, _] = bare_rows([OURS, OURS], "adder")
    assert (first.rate, first.ratio) == (1000, 1.0)


def test_the_page_ends_with_our_own_cases_where_they_were_measured() -> None:
    assert page(_run(OURS, own="### Upload\n")).rstrip().endswith("### Upload")
    assert "modelserve alone" not in page(_run(OURS))
