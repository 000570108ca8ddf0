"""The page ``docs/explanation/benchmarks.md``: tables, who is fastest, versions, settings, what went wrong."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import report
from benchmarks.measure import Row, Schedule

from .loads import Measured, bare_rows
from .table import MODELS

__all__ = ["Run", "page"]

_HEAD = """# Benchmarks

modelserve beside other model servers, on one machine, with the same two models. This page is written by
`make bench PEERS=1`: do not edit it. How modelserve's own figures come about, and what limits them, is told in
[Performance](performance.md).
"""

_MEANING = """## What the numbers mean

- **req/s** is requests answered per second over keep-alive connections, each of which sends its next request when its
  last is answered. Every answer was a 2xx, and the server gave the right answer before and after each load.
- **ratio** is that rate over the rate of a bare aiohttp handler on uvloop, loaded in turn with the server in the same
  minute. The handler reads the same body and answers a constant. A machine changes its speed; compare ratios.
- **p50** and **p99** are the times that half and all but a hundredth of the requests stay below.
- **CPU** is microseconds of processor time per request, of all processes of the server together.
- **1, 16, 64** are connections. At 1 a client waits for each answer: it shows what a single call costs, and whether a
  batching server waits for calls that do not come. At 64 it shows how much the server can do.
- How long a server waits for a batch to fill is its own default, where it has one. A wait of 10 ms is what most of the
  MLP's p50 at 1 connection is made of, and whoever runs such a server may set it lower.
- The load generator takes a core that the servers want too. Servers with more processes lose more by that than on a
  larger machine.
- Servers differ in what they do for a request. modelserve, DEEPaaS and FastAPI validate it and its answer by a schema,
  BentoML and MLServer the request; the table of settings says who validates nothing. modelserve's row is with every
  feature on.
- torch has one thread in each process of every server.
"""


@dataclass(frozen=True)
class Run:
    """All that the page tells: how it was measured, and what was found, modelserve first. ``own`` is Markdown."""

    day: str
    load: str
    schedule: Schedule
    commit: str
    measured: Sequence[Measured]
    own: str = ""


def page(run: Run) -> str:
    """Return the page's Markdown."""
    models = [part for model in MODELS for part in _model(run, model)]
    parts = [_HEAD, _how(run), *models, _MEANING, _settings(run), _troubles(run), _own(run)]
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def _how(run: Run) -> str:
    schedule, linux = run.schedule, platform.release().partition("-")[0]
    return (
        f"Measured on {run.day}: {report.cpu_model()}, {os.cpu_count()} cores, Linux {linux}, "
        f"Python {platform.python_version()}, modelserve {run.commit[:12] or 'of no known commit'}. "
        f"Load: {run.load}. Medians of {schedule.repeats} loads of {schedule.duration_s} s each.\n\n"
        "![Requests per second at the most connections](benchmarks.svg)\n"
    )


def _model(run: Run, model: str) -> list[str]:
    connections = run.schedule.connections
    named = [("bare aiohttp", bare_rows(run.measured, model))]
    named += [(one.title, one.rows(model)) for one in run.measured]
    lines = [(title, *_cells(rows, connections)) for title, rows in named if rows]
    head = ("server", *(f"req/s, {n}" for n in connections), *(f"ratio, {n}" for n in connections))
    last = connections[-1]
    head += (f"p50 ms, {connections[0]}", f"p50 ms, {last}", f"p99 ms, {last}", f"CPU µs, {last}")
    return [f"## {MODELS[model]}\n", report.grid(head, lines, left=1), _winners(named[1:], connections)]


def _cells(rows: Sequence[Row], connections: Sequence[int]) -> list[str]:
    by = {row.connections: row for row in rows}
    first, last = by.get(connections[0]), by.get(connections[-1])
    rates = [f"{by[n].rate:,.0f}" if n in by else "-" for n in connections]
    ratios = [_ratio(by.get(n)) for n in connections]
    return [*rates, *ratios, f"{first.p50_ms:.2f}" if first else "-", *_under_load(last)]


def _under_load(row: Row | None) -> list[str]:
    if row is None:
        return ["-", "-", "-"]
    return [f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.front_us + row.workers_us:.0f}"]


def _ratio(row: Row | None) -> str:
    return "-" if row is None or row.ratio is None else f"{row.ratio:.2f}"


def _winners(named: Sequence[tuple[str, Sequence[Row]]], connections: Sequence[int]) -> str:
    """Say at each number of connections who is fastest by ratio, and how far modelserve or the next is behind."""
    told = []
    for n in connections:
        ranked = sorted(
            ((row.ratio, title) for title, rows in named for row in rows if row.connections == n and row.ratio),
            reverse=True,
        )
        if len(ranked) > 1:
            told.append(f"- At {n} connection{'s' if n > 1 else ''} {_sentence(ranked)}")
    return "\n".join(told) + "\n" if told else ""


def _sentence(ranked: Sequence[tuple[float, str]]) -> str:
    (best, winner), (second, next_one) = ranked[:2]
    ours = next((ratio for ratio, title in ranked if title == "modelserve"), None)
    if winner == "modelserve" or ours is None:
        return f"{winner} is the fastest, {best / second:.2f} times the next, {next_one}."
    return f"**{winner} is the fastest, {best / ours:.2f} times modelserve.**"


def _settings(run: Run) -> str:
    lines = [(one.title, _listed(one.versions), one.settings) for one in run.measured]
    return "## Versions and settings\n\n" + report.grid(("server", "versions", "settings"), lines, left=3)


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "-"


def _troubles(run: Run) -> str:
    lines = [f"- {one.title}: {trouble}" for one in run.measured for trouble in one.troubles]
    return "## What went wrong\n\n" + "\n".join(lines) if lines else ""


def _own(run: Run) -> str:
    if not run.own:
        return ""
    told = "Each beside its own bare handler, see [Performance](performance.md#what-is-measured)."
    return f"## modelserve alone\n\n{told}\n\n{run.own}"
