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

from .measure import Row, Sample, Schedule

__all__ = ["Result", "cpu_model", "environment", "markdown", "results_path", "table", "write"]

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = [
    "modelserve",
    "aiohttp",
    "uvloop",
    "webargs",
    "marshmallow",
    "multiprocess",
    "msgspec",
    "orjson",
    "prometheus-client",
    "numpy",
    "torch",
]
# From this many cores of other work on, a figure is marked; an idle machine shows about 0.02.
_BUSY_CORES = 0.2
_COLUMNS = ("req/s", "± %", "ratio", "p50 ms", "p99 ms", "CPU µs")
_CAPTION = f"""Medians. CPU per request: the server's own process + its workers.
* other programs kept {_BUSY_CORES} cores or more busy meanwhile: measure again."""


@dataclass(frozen=True)
class Result:
    """A whole run; ``started`` is UTC and ``left_out`` says why a case is missing, by its name."""

    started: datetime
    load: str
    load_cpus: tuple[int, ...]
    schedule: Schedule
    samples: tuple[Sample, ...]
    rows: tuple[Row, ...]
    left_out: dict[str, str]


def table(rows: Sequence[Row], titles: dict[str, str]) -> Table:
    """Return the rows for the terminal, one block per number of connections."""
    made = Table(caption=_CAPTION, caption_justify="left")
    made.add_column("conn.", justify="right")
    made.add_column("server")
    for name in _COLUMNS:
        made.add_column(name, justify="right")
    last = None
    for row in rows:
        if last is not None and row.connections != last:
            made.add_section()
        made.add_row("" if row.connections == last else str(row.connections), titles[row.case], *_cells(row))
        last = row.connections
    return made


def markdown(rows: Sequence[Row], titles: dict[str, str]) -> str:
    """Return the same rows as a Markdown table, for a page of the docs or an issue."""
    lines = [("connections", "server", *_COLUMNS), ("--:", "---", *("--:" for _ in _COLUMNS))]
    lines += [(str(row.connections), titles[row.case], *_cells(row)) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
