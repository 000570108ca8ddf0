"""``modelserve status``: what a running server's deployments and workers do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from modelserve import control
from modelserve.cli import screen
from modelserve.cli.reload import chosen_port, port_option

__all__ = ["status"]

DEPLOYMENTS = ("deployment", "status", "version", "workers", "queue", "restarts", "last exit")
WORKERS = ("worker", "status", "pid", "running", "answered", "memory", "age")
JOBS = ("running job", "deployment", "operation", "pid", "age")

ERRORS = ("error", "deployment", "worker", "request", "message")

# Of an error's message so much is shown; the log has the rest.
MESSAGE = 120

# Between two looks at the server.
WATCH_S = 1.0

# Ends that we have chosen, of which there is nothing to say.
OURS = ("stopped", "recycled")

_Facts = Mapping[str, Any]


@click.command(epilog="Example: modelserve status --json | jq '.deployments[].workers[].pid'")
@port_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of tables.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until Ctrl-C; as JSON, a line each time.")
def status(port: int | None, as_json: bool, watch: bool) -> int:
    """Show what a running server's deployments and workers do, and which jobs run."""
    port = chosen_port(port)
    if watch:
        _watch(port, as_json=as_json)
    elif as_json:
        click.echo(json.dumps(_ask(port), indent=2))
    else:
        _show(_ask(port), datetime.now(UTC), screen.console())
    return 0


def _ask(port: int) -> _Facts:
    facts: _Facts = next(iter(control.order(port, "GET", "/status")))
    return facts


def _watch(port: int, *, as_json: bool) -> None:
    """Show it again and again: in place on a terminal, else below each other."""
    target = screen.console()
    if as_json or not target.is_terminal:
        while True:
            facts = _ask(port)
            click.echo(json.dumps(facts)) if as_json else _show(facts, datetime.now(UTC), target)
            time.sleep(WATCH_S)
    from rich.live import Live

    with Live(console=target, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_drawn(_ask(port), target), refresh=True)
            time.sleep(WATCH_S)


def _drawn(facts: _Facts, target: Console) -> Text:
    """Return what is shown as one text, as wide as the terminal."""
    with target.capture() as captured:
        _show(facts, datetime.now(UTC), target)
    return Text.from_ansi(captured.get())


def _show(server: _Facts, now: datetime, target: Console) -> None:
    deployments = server["deployments"]
    target.print(f"modelserve {server['version']} on {server['url']}, process {server['pid']}", markup=False)
    target.print()
    screen.show_table(target, DEPLOYMENTS, [_deployment_row(deployment, now) for deployment in deployments])
    target.print()
    workers = [worker for deployment in deployments for worker in deployment["workers"]]
    screen.show_table(target, WORKERS, [_worker_row(worker, now) for worker in workers])
    if jobs := server["jobs"]:
        target.print()
        screen.show_table(target, JOBS, [_job_row(job, now) for job in jobs])
    if errors := server["errors"]:
        target.print()
        screen.show_table(target, ERRORS, [_error_row(error, now) for error in errors])
    for deployment in deployments:
        for sentence in _complaints(deployment, now):
            target.print(screen.clean(f"\n{deployment['name']}: {sentence}").strip(), markup=False, soft_wrap=True)


def _deployment_row(deployment: _Facts, now: datetime) -> tuple[str, ...]:
    warm = sum(worker["status"] == "warm" for worker in deployment["workers"])
    end = deployment["last_exit"]
    return (
        deployment["name"],
        deployment["status"],
        deployment["version"],
        f"{warm} of {len(deployment['workers'])} warm",
        str(deployment["queue_calls"]),
        str(deployment["restarts"]),
        f"{end['reason']}, {_age(end['when'], now)} ago" if end else "",
    )


def _worker_row(worker: _Facts, now: datetime) -> tuple[str, ...]:
    return (
        worker["name"],
        worker["status"],
        str(worker["pid"] or ""),
        str(worker["calls"]),
        str(worker["answered"]),
        f"{worker['rss_bytes'] / 1e6:.0f} MB" if worker["rss_bytes"] else "",
        _age(worker["started"], now) if worker["started"] else "",
    )


def _job_row(job: _Facts, now: datetime) -> tuple[str, ...]:
    age = _age(job["started"], now) if job["started"] else ""
    return (job["uuid"], job["deployment"], job["operation"], str(job["pid"] or ""), age)


def _error_row(error: _Facts, now: datetime) -> tuple[str, ...]:
    message = error["message"] if len(error["message"]) <= MESSAGE else error["message"][: MESSAGE - 3] + "..."
    when = f"{_age(error['when'], now)} ago"
    return (when, error["deployment"], error["worker"], error["request_id"], message)


def _complaints(deployment: _Facts, now: datetime) -> list[str]:
    """Return what an operator should read of a deployment below the tables."""
    said = [deployment["message"]] if deployment["message"] else []
    end = deployment["last_exit"]
    if end and end["reason"] not in OURS:
        said.append(f"worker {end['worker']} ended {_age(end['when'], now)} ago: {end['detail']}")
    reload = deployment["last_reload"]
    if reload and not reload["ok"]:
        said.append(f"the reload {_age(reload['when'], now)} ago failed, so the old version stays: {reload['message']}")
    return said


def _age(when: str, now: datetime) -> str:
    """Return how long ago a moment was, in its largest unit."""
    seconds = max(0, int((now - datetime.fromisoformat(when)).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
