"""What the subcommands of ``modelserve jobs`` do. Each prints its answer and returns the exit status.

    Which, UUID -> RemoteJobs -> standard output, or a file

UUID may be the beginning of an id, or "" for the newest job.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import click

from modelserve.cli.arguments import WrongUse
from modelserve.cli.downloads import save_body
from modelserve.cli.job_shown import show_artifacts, show_job, show_jobs
from modelserve.cli.log_shown import pass_on, print_lines, print_text
from modelserve.cli.output import write
from modelserve.cli.remote import Remote
from modelserve.cli.remote_jobs import RemoteJobs
from modelserve.cli.which_jobs import Which

__all__ = ["cancel", "fetch_artifact", "follow_log", "list_artifacts", "list_jobs", "print_log", "result", "show"]

# The most that a server gives in one page.
PAGE = 1000


def list_jobs(which: Which, limit: int | None) -> int:
    """List the newest jobs, all of them for None."""

    async def action(jobs: RemoteJobs) -> None:
        found: list[Mapping[str, Any]] = []
        async with contextlib.aclosing(jobs.pages(min(limit or PAGE, PAGE))) as pages:
            async for page in pages:
                found += page
                if limit is not None and len(found) >= limit:
                    break
        found = found[:limit]
        if which.as_json:
            _print_json(found)
        elif found:
            show_jobs(found)
        else:
            click.echo(f"There are no {which.operation} jobs of {which.model}.")

    return _run(which, action)


def show(which: Which, uuid: str) -> int:
    """Show one job."""

    async def action(jobs: RemoteJobs) -> None:
        job = await jobs.get(await jobs.find(uuid))
        _print_json(job) if which.as_json else show_job(job)

    return _run(which, action)


def cancel(which: Which, uuid: str) -> int:
    """Cancel one job."""

    async def action(jobs: RemoteJobs) -> None:
        job = await jobs.cancel(await jobs.find(uuid))
        _print_json(job) if which.as_json else click.echo(f"{job['uuid']}: {job['status']}")

    return _run(which, action)


def print_log(which: Which, uuid: str, tail: int | None) -> int:
    """Print the log of a job as it is now."""

    async def action(jobs: RemoteJobs) -> None:
        async with jobs.log(await jobs.find(uuid), tail) as response:
            await print_text(response, as_json=which.as_json)

    return _run(which, action)


def follow_log(which: Which, uuid: str, tail: int | None) -> int:
    """Print the log of a job as it grows, until the job has ended."""

    async def action(jobs: RemoteJobs) -> None:
        async with contextlib.aclosing(jobs.follow_log(await jobs.find(uuid), tail)) as events:
            async for event in events:
                if event.name == "log":
                    print_lines(event.data.split("\n"), as_json=which.as_json)
                elif which.as_json:
                    click.echo(json.dumps(json.loads(event.data)))
                else:
                    click.echo(f"The job is {json.loads(event.data)['status']}.", err=True)

    return _run(which, action)


def result(which: Which, uuid: str, output: str) -> int:
    """Print what a job has returned, or write it to a file."""

    async def action(jobs: RemoteJobs) -> None:
        async with jobs.result(await jobs.find(uuid)) as response:
            await _deliver(response, output, which)

    return _run(which, action)


def list_artifacts(which: Which, uuid: str) -> int:
    """List the files that a job has kept."""

    async def action(jobs: RemoteJobs) -> None:
        found = await jobs.artifacts(await jobs.find(uuid))
        if which.as_json:
            _print_json(found)
        elif found:
            show_artifacts(found)
        else:
            click.echo("The job has kept no files.")

    return _run(which, action)


def fetch_artifact(which: Which, uuid: str, name: str, output: str) -> int:
    """Print a file that a job has kept, or write it to one here."""

    async def action(jobs: RemoteJobs) -> None:
        async with jobs.artifact(await jobs.find(uuid), name) as response:
            await _deliver(response, output, which)

    return _run(which, action)


def _run(which: Which, action: Callable[[RemoteJobs], Coroutine[Any, Any, None]]) -> int:
    async def connected() -> None:
        async with Remote(which.url, token=which.token) as remote:
            await action(RemoteJobs(remote, which.model, which.operation))

    asyncio.run(connected())
    return 0


async def _deliver(response: aiohttp.ClientResponse, output: str, which: Which) -> None:
    """Write a body where it belongs; large ones do not pass through memory, but on a terminal."""
    if output:
        size = await save_body(response, Path(output))
        if which.as_json:
            _print_json({"file": output, "bytes": size, "content_type": response.content_type})
        else:
            click.echo(f"{size} bytes written to {output}", err=True)
    elif which.as_json and response.content_type != "application/json":
        raise WrongUse(f"The answer is {response.content_type}, which is no JSON: add --output FILE.")
    elif sys.stdout.isatty():
        write(await response.read(), response.content_type, "")
    else:
        await pass_on(response)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
