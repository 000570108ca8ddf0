"""``modelserve status``: what a running server's deployments and workers do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from modelserve import control
from modelserve.cli import screen
from modelserve.cli.reload import chosen_port, port_option

__all__ = ["status"]

DEPLOYMENTS = ("deployment", "status", "version", "workers", "queue", "restarts", "last exit")
WORKERS = ("worker", "status", "pid", "running", "answered", "memory", "age")
JOBS = ("running job", "deployment", "operation", "pid", "age")

# Ends that we have chosen, of which there is nothing to say.
OURS = ("stopped", "recycled")

_Facts = Mapping[str, Any]


@click.command(epilog="Example: modelserve status --json | jq '.deployments[].workers[].pid'")
@port_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of tables.")
def status(port: int | None, as_json: bool) -> int:
    """Show what a running server's deployments and workers do, and which jobs run."""
    port = chosen_port(port)
    shown = next(iter(control.order(port, "GET", "/status")))
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    else:
        _show(shown, datetime.now(UTC))
    return 0


def _show(server: _Facts, now: datetime) -> None:
    target = screen.console()
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
