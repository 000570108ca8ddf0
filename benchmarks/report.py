"""What a run is told as: a table for the terminal, and a JSON document that says on what it was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from .figures import Figure
from .measure import Row, Sample, Schedule
from .targets import Verdict

__all__ = [
    "Block",
    "Result",
    "cpu_model",
    "environment",
    "figures_table",
    "grid",
    "markdown",
    "results_path",
    "table",
    "verdicts_table",
    "write",
]

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = [
    "modelserve",
    "aiohttp",
    "uvloop",
    "webargs",
    "marshmallow",
    "msgspec",
    "orjson",
    "prometheus-client",
    "numpy",
    "torch",
]
# From this many cores of other work on, a figure is marked; an idle machine shows about 0.02.
_BUSY_CORES = 0.2
_COLUMNS = ("req/s", "± %", "ratio", "p50 ms", "p99 ms", "CPU µs")
_TEXT_COLUMNS = ("server", "what", "target", "found", "met")
_CAPTION = f"""Medians. CPU per request: the server's own process + its workers.
* other programs kept {_BUSY_CORES} cores or more busy meanwhile: measure again."""


@dataclass(frozen=True)
class Block:
    """The rows of one group, with the samples that they come from."""

    name: str
    title: str
    titles: dict[str, str]
    rows: tuple[Row, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Result:
    """A whole run; ``started`` is UTC and ``left_out`` says why a case is missing, by its name."""

    started: datetime
    load: str
    load_cpus: tuple[int, ...]
    schedule: Schedule
    blocks: tuple[Block, ...]
    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...]
    left_out: dict[str, str]


def table(block: Block) -> Table:
    """Return the rows for the terminal, one section per number of connections."""
    made = _table(block.title, ("conn.", "server", *_COLUMNS), caption=_CAPTION)
    last = None
    for row in block.rows:
        if last is not None and row.connections != last:
            made.add_section()
        shown = "" if row.connections == last else str(row.connections)
        made.add_row(shown, block.titles[row.case], *_cells(row))
        last = row.connections
    return made


def figures_table(figures: Sequence[Figure]) -> Table:
    """Return the figures for the terminal."""
    made = _table("Without load", ("", "what", "value", "ratio"))
    for figure in figures:
        made.add_row("", figure.title, *_figure_cells(figure))
    return made


def verdicts_table(verdicts: Sequence[Verdict]) -> Table:
    """Return the targets for the terminal."""
    made = _table("Targets", ("met", "target", "found"))
    for verdict in verdicts:
        made.add_row("yes" if verdict.met else "NO", verdict.target, verdict.found)
    return made


def markdown(result: Result) -> str:
    """Return the same as Markdown tables, for a page of the docs or an issue."""
    parts = [_markdown_rows(block) for block in result.blocks]
    if result.figures:
        cells = [(figure.title, *_figure_cells(figure)) for figure in result.figures]
        parts.append("### Without load\n\n" + grid(("what", "value", "ratio"), cells, left=1))
    if result.verdicts:
        told = [(verdict.target, verdict.found, "met" if verdict.met else "**not met**") for verdict in result.verdicts]
        parts.append("### Targets\n\n" + grid(("target", "found", ""), told, left=3))
    return "\n\n".join(parts)


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: int) -> str:
    """Return a Markdown table whose first ``left`` columns hold text and whose others hold numbers."""
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _markdown_rows(block: Block) -> str:
    lines = [(block.titles[row.case], str(row.connections), *_cells(row)) for row in block.rows]
    return f"### {block.title}\n\n" + grid(("server", "connections", *_COLUMNS), lines, left=1)


def _table(title: str, columns: Sequence[str], *, caption: str = "") -> Table:
    made = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left")
    for name in columns:
        made.add_column(name, justify="left" if name in _TEXT_COLUMNS else "right")
    return made


def _figure_cells(figure: Figure) -> tuple[str, str]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return f"{figure.value:,.{figure.digits}f} {figure.unit}", ratio


def _cells(row: Row) -> list[str]:
    busy = " *" if row.other_cores >= _BUSY_CORES else ""
    return [
        f"{row.rate:,.0f}{busy}",
        f"{row.spread * 50:.0f}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        f"{row.front_us:.0f} + {row.workers_us:.0f}",
    ]


def write(result: Result, path: Path) -> None:
    """Write the run as JSON, with all its samples and what it ran on."""
    document = asdict(result) | {
        "started": result.started.isoformat(timespec="seconds"),
        "environment": environment(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def results_path(started: datetime) -> Path:
    """Return where a run is written when nothing else is asked for."""
    return _ROOT / "benchmarks" / "results" / f"{started:%Y%m%dT%H%M%SZ}.json"


def environment() -> dict[str, Any]:
    """Return the machine, the versions and the commit, for whoever compares two runs."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_allowed": sorted(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("--no-optional-locks", "status", "--porcelain")),
    }


def cpu_model() -> str:
    """Return the processor's name as Linux shows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _git(*arguments: str) -> str:
    try:
        ended = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""
