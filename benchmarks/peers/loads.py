"""Loads one server at a time beside the bare handler, and keeps what was measured when something goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from benchmarks import measure
from benchmarks.cases import Case, bare_case
from benchmarks.load import BenchmarkError, Load
from benchmarks.progress import shown
from benchmarks.servers import LeftBehind, started

from .installed import install, versions
from .table import MODELS, Peer, case_of, ours

__all__ = ["Measured", "bare_rows", "measure_ours", "measure_peer"]


@dataclass
class Measured:
    """What was found out of one server: samples by model, versions, and what went wrong in words."""

    title: str
    settings: str
    samples: dict[str, list[measure.Sample]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def rows(self, model: str) -> list[measure.Row]:
        """Return its rows for one model, without those of the bare handler beside it."""
        samples = self.samples.get(model, [])
        beside = {sample.case: f"bare-{model}" for sample in samples}
        return [row for row in measure.rows(samples, beside) if row.case != f"bare-{model}"]


def measure_ours(versions: dict[str, str], schedule: measure.Schedule, load: Load, console: Console) -> Measured:
    """Load modelserve itself, as any other."""
    settings = "`modelserve run`, its default settings: one worker. The MLP has `predict_batch`, up to 32."
    found = Measured("modelserve", settings, versions=versions)
    _load_models(found, {model: ours(model) for model in MODELS}, schedule, load, console)
    return found


def measure_peer(peer: Peer, schedule: measure.Schedule, load: Load, console: Console) -> Measured:
    """Install a peer and load it; what cannot be done becomes a trouble in words."""
    found = Measured(peer.title, peer.settings)
    try:
        with shown(console, None) as step:
            programs: Path = install(peer, step)
        found.versions = versions(programs, peer.distribution)
    except BenchmarkError as error:
        found.troubles.append(f"It could not be installed: {error}")
        return found
    _load_models(found, {model: case_of(peer, model, programs) for model in MODELS}, schedule, load, console)
    return found


def bare_rows(all_measured: Sequence[Measured], model: str) -> list[measure.Row]:
    """Return the bare handler's rows, the medians over every server that it was loaded beside."""
    name = f"bare-{model}"
    samples = [sample for one in all_measured for sample in one.samples.get(model, []) if sample.case == name]
    return measure.rows(samples, {name: name})


def _load_models(
    found: Measured, cases: dict[str, Case], schedule: measure.Schedule, load: Load, console: Console
) -> None:
    for model, case in cases.items():
        console.print(f"starting {case.name} ...", style="dim", markup=False)
        samples: list[measure.Sample] = []
        found.samples[model] = samples
        try:
            _load_pair(case, model, samples, schedule, load, console)
        except LeftBehind:
            found.troubles.append(f"{MODELS[model]}: it left processes behind when it was told to end.")
        except BenchmarkError as error:
            found.troubles.append(f"{MODELS[model]}: {_short(str(error))}")
        for trouble in found.troubles:
            console.print(f"{found.title}: {trouble}", style="yellow", markup=False)


def _load_pair(
    case: Case, model: str, samples: list[measure.Sample], schedule: measure.Schedule, load: Load, console: Console
) -> None:
    # The bare handler is sent the plain request, whatever dialect the peer speaks.
    bare = bare_case(f"bare-{model}", "bare aiohttp", ours(model).body)
    with started(bare) as yardstick, started(case) as server:
        for connections in schedule.connections:
            part = replace(schedule, connections=(connections,))
            with shown(console, part.steps(2)) as step:
                samples += measure.run([yardstick, server], load, part, step)


def _short(text: str) -> str:
    """Return the first sentence of an error and its last line, which is where a traceback says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if len(lines) < 2 else f"{lines[0][:300]} ... {lines[-1][:300]}"
