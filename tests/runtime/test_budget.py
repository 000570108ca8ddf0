"""How often workers are replaced, and when a GPU is given up."""

from __future__ import annotations

import pytest

from modelserve.runtime.budget import DEVICE_WINDOW_S, Budget, Gpus


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_so_many_replacements_are_allowed_in_any_minute_and_one_more_when_the_oldest_is_past() -> None:
    clock = Clock()
    budget = Budget(3, clock)
    for _ in range(3):
        assert budget.wait_s() == 0
        budget.spend()
        clock.now_s += 10
    assert budget.wait_s() == 30
    clock.now_s += 30
    assert budget.wait_s() == 0
    budget.spend()
    assert budget.wait_s() == 10


def test_two_that_begin_at_once_beyond_the_budget_are_both_counted() -> None:
    clock = Clock()
    budget = Budget(1, clock)
    budget.spend()
    clock.now_s += 5
    budget.spend()
    assert budget.wait_s() == 60


def test_three_exits_within_an_hour_fail_a_gpu_and_no_other() -> None:
    clock = Clock()
    gpus = Gpus(clock)
    for gpu in ("0", "1", "0", "", "", ""):
        gpus.note_exit(gpu)
    assert gpus.failed == []
    gpus.note_exit("0")
    gpus.note_exit("0")
    assert gpus.failed == ["0"]
    gpus.forgive()
    assert gpus.failed == []


def test_after_a_gpu_was_forgiven_one_more_exit_does_not_fail_it() -> None:
    gpus = Gpus(Clock())
    for _ in range(3):
        gpus.note_exit("0")
    gpus.forgive()
    gpus.note_exit("0")
    gpus.note_exit("0")
    assert gpus.failed == []
    gpus.note_exit("0")
    assert gpus.failed == ["0"]


@pytest.mark.parametrize(("apart_s", "failed"), [(DEVICE_WINDOW_S / 3, ["0"]), (DEVICE_WINDOW_S, [])])
def test_exits_far_apart_are_forgiven(apart_s: float, failed: list[str]) -> None:
    clock = Clock()
    gpus = Gpus(clock)
    for _ in range(3):
        gpus.note_exit("0")
        clock.now_s += apart_s
    assert gpus.failed == failed
