"""A whole run: the groups of servers one after the other, then what is measured without load.

groups -> servers up together -> loads -> Block      start, memory, loop, paths -> Figure      both -> Verdict
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Console

from . import measure, report
from .cases import Group, missing
from .figures import Figure
from .generator import Generator
from .large import groups
from .load import BenchmarkError, Load
from .progress import shown
from .servers import started
from .start import memory, starts
from .targets import verdicts
from .wrk import Wrk

__all__ = ["FIGURES", "Plan", "block", "choose_load", "load_cpus", "names", "run"]

FIGURES = ("start", "memory", "loop", "paths")


@dataclass(frozen=True)
class Plan:
    """What to measure: loads by this schedule, of the cases and figures in ``only``, or of all where it is empty."""

    schedule: measure.Schedule
    only: tuple[str, ...]
    load: Load


def load_cpus() -> tuple[int, ...]:
    """Return the CPUs of the load generator: the last quarter of those allowed, at least one.

    The servers are not pinned by the bench: a bare handler finds the other cores by itself, and modelserve plans its
    workers as on any machine. It is the same for all of them.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return tuple(allowed[-max(1, len(allowed) // 4) :])


def choose_load(generator: str) -> Load:
    """Return wrk where it is found, else the generator of our own.

    Raises:
        BenchmarkError: wrk was asked for and is not there.
    """
    cpus = load_cpus()
    wrk = None if generator == "own" else Wrk.found(cpus)
    if generator == "wrk" and wrk is None:
        raise BenchmarkError("wrk is not on the PATH; install Debian's package wrk, or use --generator own.")
    return wrk or Generator(cpus)


def run(plan: Plan, console: Console) -> report.Result:
    """Measure all that is asked for and can be measured here.

    Raises:
        BenchmarkError: A server failed, or a request did.
    """
    began = datetime.now(UTC)
    left_out: dict[str, str] = {}
    chosen = [_chosen(group, plan.only, left_out) for group in groups()]
    blocks = [block(group, plan.schedule, plan.load, console) for group in chosen if group.cases]
    figures = _figures(plan, left_out, console)
    judged = verdicts([row for one in blocks for row in one.rows], figures)
    return report.Result(
        began, plan.load.name, load_cpus(), plan.schedule, tuple(blocks), tuple(figures), tuple(judged), left_out
    )


def block(group: Group, schedule: measure.Schedule, load: Load, console: Console) -> report.Block:
    """Start the servers of a group, load them in turn and stop them.

    Raises:
        BenchmarkError: A server failed, or a request did.
    """
    schedule = replace(schedule, connections=group.connections or schedule.connections)
    with contextlib.ExitStack() as stack:
        servers = []
        for case in group.cases:
            console.print(f"starting {case.name} ...", style="dim", markup=False)
            servers.append(stack.enter_context(started(case)))
        step = stack.enter_context(shown(console, schedule.steps(len(servers))))
        samples = measure.run(servers, load, schedule, step)
    rows = measure.rows(samples, {case.name: case.beside for case in group.cases})
    titles = {case.name: case.title for case in group.cases}
    return report.Block(group.name, group.title, titles, tuple(rows), tuple(samples))


def _chosen(group: Group, only: Sequence[str], left_out: dict[str, str]) -> Group:
    asked = [case for case in group.cases if not only or case.name in only]
    left_out |= {case.name: _why_not(case.name, missing(case)) for case in asked if missing(case)}
    return replace(group, cases=tuple(case for case in asked if not missing(case)))


def _why_not(name: str, needs: Sequence[str]) -> str:
    return f"{name} is left out: install {' and '.join(needs)} to measure it."


def _figures(plan: Plan, left_out: dict[str, str], console: Console) -> list[Figure]:
    asked = [name for name in FIGURES if not plan.only or name in plan.only]
    found: list[Figure] = []
    with shown(console, None) as step:
        for name in asked:
            needs = [package for package in _NEEDS.get(name, ()) if importlib.util.find_spec(package) is None]
            if needs:
                left_out[name] = _why_not(name, needs)
            else:
                found += _figure(name, plan.schedule, step)
    return found


_NEEDS = {"loop": ("torch", "numpy"), "paths": ("numpy",)}


def _figure(name: str, schedule: measure.Schedule, step: Callable[[str], None]) -> list[Figure]:
    if name == "start":
        return starts(schedule.repeats, step)
    if name == "memory":
        step("memory")
        return memory()
    if name == "loop":
        from .loop import loop  # imports numpy, which may not be there

        return loop(schedule.repeats, schedule.duration_s, step)
    from .paths import paths  # the same

    return paths(schedule.repeats, schedule.duration_s / 5, step)


def names() -> list[str]:
    """Return what ``--only`` may name."""
    return [*(case.name for group in groups() for case in group.cases), *FIGURES]
