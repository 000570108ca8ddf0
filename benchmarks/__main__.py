"""``python -m benchmarks``: measure, print the table, write the JSON. Exit 1 when a figure cannot be trusted."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from . import measure, report
from .cases import BARE, Case, all_cases, missing
from .generator import Generator
from .load import BenchmarkError, Load
from .servers import Server, started
from .wrk import Wrk

__all__ = ["main"]

_NAMES = [case.name for case in all_cases()]


def _numbers(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter("give whole numbers from 1, separated by commas")
    return numbers


@click.command()
@click.option(
    "--duration", "duration_s", default=5, show_default=True, type=click.IntRange(1), help="Seconds of each load."
)
@click.option("--connections", default="1,16,64", show_default=True, callback=_numbers, help="Loads, by connections.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Loads of each kind.")
@click.option("--only", multiple=True, type=click.Choice(_NAMES), help="Measure this server alone; repeatable.")
@click.option("--generator", type=click.Choice(["auto", "wrk", "own"]), default="auto", show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the results.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(*, markdown: bool, only: tuple[str, ...], generator: str, path: Path | None, **schedule: Any) -> None:
    """Measure modelserve beside a bare aiohttp handler on this machine."""
    # SystemExit instead of death: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(stderr=True)
    try:
        result = _run(measure.Schedule(**schedule), only, choose_load(generator), console)
    except BenchmarkError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
    _tell(result, markdown=markdown)
    path = path or report.results_path(result.started)
    report.write(result, path)
    console.print(f"written to {path}", style="dim", markup=False, soft_wrap=True)


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


def _run(schedule: measure.Schedule, only: Sequence[str], load: Load, console: Console) -> report.Result:
    began = datetime.now(UTC)
    cases, left_out = _choose(only)
    with contextlib.ExitStack() as stack:
        servers = []
        for case in cases:
            console.print(f"starting {case.name} ...", style="dim")
            servers.append(stack.enter_context(started(case)))
        samples = _measure(servers, load, schedule, console)
    rows = measure.rows(samples, BARE)
    return report.Result(began, load.name, load_cpus(), schedule, tuple(samples), tuple(rows), left_out)


def _choose(only: Sequence[str]) -> tuple[list[Case], dict[str, str]]:
    asked = [case for case in all_cases() if not only or case.name in only]
    left_out = {
        case.name: f"{case.name} is left out: install {' and '.join(missing(case))} to measure it."
        for case in asked
        if missing(case)
    }
    return [case for case in asked if case.name not in left_out], left_out


def _measure(
    servers: Sequence[Server], load: Load, schedule: measure.Schedule, console: Console
) -> list[measure.Sample]:
    with _progress(console, schedule.steps(len(servers))) as progress:
        return measure.run(servers, load, schedule, progress)


class _Steps:
    """Moves the bar on: a step that begins means the one before has ended."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)
        self._begun = 0

    def __call__(self, what: str) -> None:
        self._bar.update(self._task, description=what, completed=self._begun)
        self._begun += 1


@contextlib.contextmanager
def _progress(console: Console, total: int) -> Iterator[_Steps]:
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total} {task.description}"), TimeElapsedColumn())
    # Twice a second: drawing it costs CPU that the load generator wants.
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as bar:
        yield _Steps(bar, total)


def _tell(result: report.Result, *, markdown: bool) -> None:
    titles = {case.name: case.title for case in all_cases()}
    print(f"{report.cpu_model()}, {os.cpu_count()} cores; load: {result.load} on CPU {_listed(result.load_cpus)}")
    print(f"{result.schedule.repeats} x {result.schedule.duration_s} s each, interleaved; no request failed.")
    if markdown:
        print(f"\n{report.markdown(result.rows, titles)}\n")
    else:
        Console().print(report.table(result.rows, titles))
    for sentence in result.left_out.values():
        print(sentence)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)


if __name__ == "__main__":
    main()
