"""``python -m benchmarks``: measure, print the tables, write the JSON. Exit 1 when a figure cannot be trusted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from . import plan, report
from .load import BenchmarkError
from .measure import Schedule

__all__ = ["main", "schedule_options"]

_NAMES = plan.names()


def _numbers(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter("give whole numbers from 1, separated by commas")
    return numbers


def schedule_options(command: Any) -> Any:
    """Add the flags that make a schedule, and the one that chooses the load generator."""
    positive = click.IntRange(1)
    flags = [
        click.option("--duration", "duration_s", default=5, show_default=True, type=positive, help="Seconds a load."),
        click.option(
            "--connections",
            default="1,16,64",
            show_default=True,
            callback=_numbers,
            help="Loads of small requests, by connections.",
        ),
        click.option("--repeats", default=3, show_default=True, type=positive, help="Loads of each kind."),
        click.option("--generator", type=click.Choice(["auto", "wrk", "own"]), default="auto", show_default=True),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


@click.command()
@schedule_options
@click.option("--only", multiple=True, metavar="NAME", help=f"Measure this alone; repeatable: {', '.join(_NAMES)}.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the results.")
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown.")
def main(*, markdown: bool, only: tuple[str, ...], generator: str, path: Path | None, **schedule: Any) -> None:
    """Measure modelserve beside bare aiohttp handlers on this machine."""
    # SystemExit instead of death: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(stderr=True)
    if unknown := sorted(set(only) - set(_NAMES)):
        raise click.BadParameter(
            f"there is no {', '.join(unknown)}; there are {', '.join(_NAMES)}", param_hint="--only"
        )
    try:
        chosen = plan.Plan(Schedule(**schedule), only, plan.choose_load(generator))
        result = plan.run(chosen, console)
    except BenchmarkError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
    _tell(result, markdown=markdown)
    path = path or report.results_path(result.started)
    report.write(result, path)
    console.print(f"written to {path}", style="dim", markup=False, soft_wrap=True)


def _tell(result: report.Result, *, markdown: bool) -> None:
    print(f"{report.cpu_model()}, {os.cpu_count()} cores; load: {result.load} on CPU {_listed(result.load_cpus)}")
    print(f"{result.schedule.repeats} x {result.schedule.duration_s} s each, interleaved; no request failed.")
    if markdown:
        print(f"\n{report.markdown(result)}\n")
    else:
        _show(result)
    for sentence in result.left_out.values():
        print(sentence)


def _show(result: report.Result) -> None:
    console = Console()
    for block in result.blocks:
        console.print(report.table(block))
    if result.figures:
        console.print(report.figures_table(result.figures))
    if result.verdicts:
        console.print(report.verdicts_table(result.verdicts))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)


if __name__ == "__main__":
    main()
