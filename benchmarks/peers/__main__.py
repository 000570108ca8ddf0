"""``python -m benchmarks.peers``: measure modelserve and its peers, write the page and its picture."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import plan, report
from benchmarks.__main__ import schedule_options
from benchmarks.load import BenchmarkError, Load
from benchmarks.measure import Schedule

from .loads import Measured, measure_ours, measure_peer
from .page import Run, page
from .plot import draw
from .table import PEERS

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parent.parent.parent
_TOLD = ("modelserve", "aiohttp", "uvloop", "numpy", "torch")


@click.command()
@schedule_options
@click.option("--only", multiple=True, type=click.Choice([peer.name for peer in PEERS]), help="This peer; repeatable.")
@click.option("--own/--no-own", default=True, help="Whether modelserve's own cases are measured first.")
@click.option(
    "--page",
    "path",
    default=_ROOT / "docs" / "explanation" / "benchmarks.md",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the page; its picture lies beside it.",
)
def main(*, only: tuple[str, ...], own: bool, path: Path, generator: str, **schedule: Any) -> None:
    """Measure modelserve and other model servers on this machine, one after the other."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(stderr=True)
    began = datetime.now(UTC)
    planned = Schedule(**schedule)
    try:
        load = plan.choose_load(generator)
        told = _own(planned, load, console) if own else ""
    except BenchmarkError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
    measured = _measured(only, planned, load, console)
    commit = str(report.environment()["commit"])
    run = Run(f"{began:%Y-%m-%d}", load.name, planned, commit, measured, told)
    _write(run, path)
    print(page(run))
    console.print(f"written to {path}", style="dim", markup=False, soft_wrap=True)


def _own(schedule: Schedule, load: Load, console: Console) -> str:
    result = plan.run(plan.Plan(schedule, (), load), console)
    report.write(result, report.results_path(result.started))
    return report.markdown(result)


def _measured(only: tuple[str, ...], schedule: Schedule, load: Load, console: Console) -> list[Measured]:
    packages = report.environment()["packages"]
    versions = {name: packages[name] for name in _TOLD if packages.get(name)}
    found = [measure_ours(versions, schedule, load, console)]
    for peer in PEERS:
        if not only or peer.name in only:
            found.append(measure_peer(peer, schedule, load, console))
    return found


def _write(run: Run, path: Path) -> None:
    path.write_text(page(run))
    draw(run.measured, run.schedule.connections[-1], path.with_name("benchmarks.svg"))
    results = report.results_path(datetime.now(UTC)).with_suffix(".peers.json")
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(asdict(run) | {"environment": report.environment()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
