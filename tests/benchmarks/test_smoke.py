"""Every new case once, for real: the servers start, answer right, and the figures come out. How fast is not asked."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from benchmarks.cases import Group, small
from benchmarks.exchange import exchange
from benchmarks.large import answer, sleep, upload
from benchmarks.load import Outcome, Request
from benchmarks.measure import Schedule
from benchmarks.paths import paths
from benchmarks.plan import block
from benchmarks.start import memory, starts

_REQUESTS = 3


class _Few:
    """A load of a few requests, one after the other, however long it was to take."""

    name = "few"

    def run(self, request: Request, *, connections: int, duration_s: int) -> Outcome:
        began = time.perf_counter()
        statuses = [exchange(request)[0] for _ in range(_REQUESTS)]
        spent = time.perf_counter() - began
        return Outcome(_REQUESTS, spent, spent / _REQUESTS, spent, sum(status != 200 for status in statuses))


def _quiet(what: str) -> None:
    assert what


@pytest.mark.parametrize("group", [upload(200_000), answer(), sleep()], ids=lambda group: group.name)
def test_each_group_is_measured_beside_its_yardstick(group: Group) -> None:
    console = Console(file=io.StringIO())
    small = replace(group, connections=(1,))
    found = block(small, Schedule(repeats=1, duration_s=1, warm_s=1), _Few(), console)
    assert [row.case for row in found.rows] == [case.name for case in group.cases]
    assert all(row.rate > 0 and row.ratio is not None for row in found.rows)
    assert found.rows[0].ratio == 1.0


def test_the_perceptron_in_batches_is_measured_beside_the_bare_handler_given_its_body() -> None:
    pytest.importorskip("torch")
    asked = tuple(case for case in small().cases if case.name in ("bare-mlp", "mlp-batched"))
    found = block(Group("mlp", "MLP", asked, (1,)), Schedule(repeats=1, warm_s=1), _Few(), Console(file=io.StringIO()))
    assert [row.ratio is not None for row in found.rows] == [True, True]


def test_the_perceptrons_own_loop_gives_its_best_rate() -> None:
    pytest.importorskip("torch")
    from benchmarks.loop import loop  # imports numpy, as torch does

    [figure] = loop(1, 0.1, _quiet)
    assert figure.value > 100


def test_a_start_is_timed_to_the_first_right_answer() -> None:
    bare, served = starts(1, _quiet)
    assert 0 < bare.value < 60
    assert served.ratio == pytest.approx(served.value / bare.value)


def test_the_memory_of_server_and_worker_is_told_apart() -> None:
    found = {figure.name: figure.value for figure in memory()}
    assert found["pss.server"] > 1
    assert found["pss.worker"] > 1


def test_the_paths_inside_the_worker_are_timed_beside_the_same_by_hand() -> None:
    found = paths(1, 0.01, _quiet)
    assert [figure.name for figure in found] == ["path.128", "path.16384", "path.batch"]
    assert all(figure.value > 0 and figure.ratio for figure in found)
