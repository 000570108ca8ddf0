"""Shows the jobs of a server: one as a table of its facts, many as a table with a row each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from modelserve.cli import screen
from modelserve.cli.following import metrics_text

__all__ = ["show_artifacts", "show_job", "show_jobs"]

COLUMNS = ("uuid", "status", "date", "progress", "metrics", "arguments", "message")

# What of a long text stands in a table of facts and in a row of many; --json has all of it.
FACT_CHARACTERS = 400
CELL_CHARACTERS = 48

Job = Mapping[str, Any]


def show_job(job: Job) -> None:
    """Draw all that is known of one job."""
    result = job.get("result") or {}
    facts = {
        "uuid": job["uuid"],
        "status": job["status"],
        "message": job.get("message"),
        "date": job.get("date"),
        "arguments": _text(job.get("args")),
        "progress": _share(job),
        "metrics": metrics_text(job.get("metrics") or {}),
        "finished": result.get("finish_date"),
        "duration": result.get("duration"),
        "output": _output(result),
    }
    rows = [(name, str(fact)) for name, fact in facts.items() if fact]
    screen.show_table(screen.console(), rows[0], rows[1:])


def show_jobs(jobs: Iterable[Job]) -> None:
    """Draw a row for each job."""
    screen.show_table(screen.console(), COLUMNS, map(_row, jobs))


def show_artifacts(artifacts: Iterable[Mapping[str, Any]]) -> None:
    """Draw a row for each file."""
    rows = [(artifact["name"], f"{artifact['size']} bytes", artifact["media_type"]) for artifact in artifacts]
    screen.show_table(screen.console(), ("artifact", "size", "media type"), rows)


def _row(job: Job) -> tuple[str, ...]:
    metrics, arguments = metrics_text(job.get("metrics") or {}), _text(job.get("args"))
    date = str(job.get("date", ""))[: len("2026-05-01T12:30:00")]
    return job["uuid"], job["status"], date, _share(job), _cut(metrics), _cut(arguments), job.get("message") or ""


def _share(job: Job) -> str:
    return "" if job.get("progress") is None else f"{job['progress']:.0%}"


def _output(result: Mapping[str, Any]) -> str:
    if result.get("output") is None and result.get("output_bytes", 0) > len("null"):
        return f"{result['output_bytes']} bytes: 'modelserve jobs result' fetches them"
    return _text(result["output"]) if "output" in result else ""


def _text(value: Any) -> str:
    if value in (None, {}):
        return ""
    return _cut(json.dumps(value, ensure_ascii=False), FACT_CHARACTERS)


def _cut(text: str, limit: int = CELL_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."
