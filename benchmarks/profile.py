"""``python -m benchmarks.profile``: where the time of a server and of its worker goes while it is loaded.

py-spy samples both processes from outside, C code included, so what is profiled is what is measured. Without py-spy,
``--cprofile`` runs the server (not its worker) under the standard library's profiler, which slows Python calls down
and so makes many small functions look dearer than they are.
"""

from __future__ import annotations

import pstats
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from .cases import Case, missing
from .large import every
from .load import BenchmarkError, Load, Outcome
from .plan import choose_load
from .servers import Server, started
from .stacks import Shares, read

__all__ = ["main"]

_CASES = {case.name: case for case in every()}
_RATE_HZ = 300
_WARM_S = 2
# py-spy is started and stopped inside the load, so that it sees nothing else.
_MARGIN_S = 2


@dataclass(frozen=True)
class _Plan:
    """What to do to the server: connections, seconds of sampling and how many functions to show."""

    load: Load
    connections: int
    duration_s: int
    top: int


@click.command()
@click.option("--case", default="adder", show_default=True, type=click.Choice(list(_CASES)))
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1))
@click.option("--duration", default=10, show_default=True, type=click.IntRange(1), help="Seconds of sampling.")
@click.option("--top", default=25, show_default=True, type=click.IntRange(1), help="Functions to show.")
@click.option("--cprofile", is_flag=True, help="Use cProfile, on the server's process alone.")
def main(*, case: str, connections: int, duration: int, top: int, cprofile: bool) -> None:
    """Profile a server and its worker under load."""
    try:
        chosen = _CASES[case]
        if missing(chosen):
            raise BenchmarkError(f"Install {' and '.join(missing(chosen))} to profile {case}.")
        plan = _Plan(choose_load("auto"), connections, duration, top)
        (_by_cprofile if cprofile else _by_pyspy)(chosen, plan)
    except BenchmarkError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        sys.exit(1)


def _by_pyspy(case: Case, plan: _Plan) -> None:
    # Beside this Python first: the bench also runs from a virtual environment that is not activated.
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise BenchmarkError("py-spy is not installed; pip install py-spy, or use --cprofile.")
    with started(case) as server, tempfile.TemporaryDirectory(prefix="bench-spy-") as folder:
        _loaded(plan, server, _WARM_S)
        # The first of the workers is the one that used most, should there be several.
        processes = [server.process, *server.workers()[:1]]
        watched = {name: one.pid for name, one in zip(("server", "worker"), processes, strict=False)}
        with _load_running(plan, server):
            spies = {name: _spy(program, pid, plan.duration_s, Path(folder) / name) for name, pid in watched.items()}
            for name, spy in spies.items():
                _await(name, spy)
        for name in spies:
            _show(name, _shares(Path(folder) / name), plan)


@contextmanager
def _load_running(plan: _Plan, server: Server) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_loaded, plan, server, plan.duration_s + _MARGIN_S)
        yield
        outcome = running.result()
    print(f"{outcome.rate:,.0f} requests/s at {plan.connections} connections while sampled")


def _loaded(plan: _Plan, server: Server, duration_s: int) -> Outcome:
    outcome = plan.load.run(server.request, connections=plan.connections, duration_s=duration_s)
    if outcome.errors:
        raise BenchmarkError(f"{outcome.errors} of {outcome.requests} requests failed.")
    return outcome


def _spy(program: str, pid: int, duration_s: int, output: Path) -> subprocess.Popen[str]:
    what = ["--pid", str(pid), "--duration", str(duration_s), "--rate", str(_RATE_HZ)]
    how = ["--native", "--function", "--format", "raw", "--output", str(output)]
    return subprocess.Popen(
        [program, "record", *what, *how], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _await(name: str, spy: subprocess.Popen[str]) -> None:
    told, _ = spy.communicate()
    if spy.returncode:
        raise BenchmarkError(f"py-spy could not sample the {name}: {told.strip()[-500:]}")


def _shares(output: Path) -> Shares:
    with output.open(errors="replace") as lines:
        return read(lines)


def _show(name: str, shares: Shares, plan: _Plan) -> None:
    busy = shares.total / (_RATE_HZ * plan.duration_s)
    console = Console(width=max(100, Console().width))
    console.print(f"\n{name}: busy in {busy:.0%} of the samples", style="bold")
    for title, counts in (("library", shares.libraries), ("function, with the C code it calls", shares.functions)):
        table = Table("own time", title)
        for what, count in counts.most_common(plan.top):
            table.add_row(f"{count / max(1, shares.total):.1%}", what)
        console.print(table, markup=False)


def _by_cprofile(case: Case, plan: _Plan) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        written = Path(folder) / "server"
        with started(_under_cprofile(case, written)) as server:
            _loaded(plan, server, plan.duration_s)
        # The profile is written when the server has ended.
        pstats.Stats(str(written)).sort_stats("tottime").print_stats(plan.top)


def _under_cprofile(case: Case, output: Path) -> Case:
    python, *rest = case.command
    options = ["-P"] if "-P" in rest else []
    program = [part for part in rest if part != "-P"]
    return replace(case, command=(python, *options, "-m", "cProfile", "-o", str(output), *program))


if __name__ == "__main__":
    main()
