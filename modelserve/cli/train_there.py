"""``modelserve train --url URL``: a server's job, begun and followed.

openapi.json -> flags -> POST .../train/ -> job -> its events -> Display -> what there is to say of its end
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import click

from modelserve.cli import screen
from modelserve.cli.arguments import CallBuilder
from modelserve.cli.complaints import say_failure
from modelserve.cli.described import train_arguments
from modelserve.cli.downloads import fetch_artifacts
from modelserve.cli.interrupts import INTERRUPTED
from modelserve.cli.job_shown import show_job
from modelserve.cli.output import write
from modelserve.cli.remote import Remote
from modelserve.cli.remote_following import Followed, follow
from modelserve.cli.remote_jobs import RemoteJobs
from modelserve.cli.train_flags import Wanted, parsed
from modelserve.errors import InvalidArguments, Reported
from modelserve.messages import Argument, Call, Failure

__all__ = ["train_there"]


async def train_there(
    command: str, model: str, words: Sequence[str], *, url: str, token: str, before: Mapping[str, Any]
) -> int:
    """Have a server train one of its models, and return the exit status.

    Args:
        command: The command as the user wrote it, for messages.
        model: The deployment's name.
        words: What follows it.
        url: The server's address.
        token: What it is sent, "" for none.
        before: The command's own options that stood before MODEL.

    Raises:
        Unreachable: The server does not answer.
        Reported: It refuses the training.
    """
    async with Remote(url, token=token) as remote:
        arguments = await _arguments(remote, model)
        title = f"Train {model} on {remote.shown}."
        wanted = parsed(arguments, words, name=f"{command} {model}", help=title, before=before)
        if wanted is None:
            return 0
        jobs = RemoteJobs(remote, model)
        try:
            job = await jobs.submit(_call(wanted), uuid4().hex)
        except InvalidArguments as error:
            say_failure(Failure(error.status, error.code, error.message, error.fields), wanted.flags)
            return 1
        job_words = f"{model} {job['uuid']} --url {remote.shown}"
        if wanted.is_followed:
            return await _say(await follow(jobs, model, job, as_json=wanted.as_json), jobs, wanted, job_words)
        _show(job, wanted)
        return 0


async def _arguments(remote: Remote, model: str) -> list[Argument]:
    """Return the arguments of the model's ``train``.

    Raises:
        Reported: The server does not train it.
    """
    document = await remote.get("/openapi.json")
    arguments = train_arguments(document, model) if isinstance(document, dict) else None
    if arguments is not None:
        return arguments
    try:
        status = (await remote.get(f"/v2/models/{quote(model, safe='')}/"))["status"]
    except Reported as error:
        if error.status != 404:
            raise
        sentence = (
            f"There is no model {model!r} at {remote.shown}; GET {remote.shown}/v2/models/ lists those there are."
        )
        raise Reported(sentence, status=404) from error
    if status != "ready":
        raise Reported(f"{model} is {status} at {remote.shown}: try again once it is ready.", status=503)
    raise Reported(f"{model} has no train method, or its trainings are switched off at {remote.shown}.", status=501)


def _call(wanted: Wanted) -> Call:
    builder = CallBuilder(None)
    for argument, values in wanted.values:
        builder.add(argument, values)
    return builder.build("")


def _show(job: Mapping[str, Any], wanted: Wanted) -> None:
    if wanted.as_json:
        click.echo(json.dumps(job))
    else:
        show_job(job)


async def _say(end: Followed, jobs: RemoteJobs, wanted: Wanted, words: str) -> int:
    """Say how the training ended, or that nobody waits for it, and return the exit status.

    Args:
        words: What names the job after ``modelserve jobs SUBCOMMAND``.
    """
    status = end.job["status"]
    if end.is_left:
        click.echo(f"The training goes on: 'modelserve jobs show {words}' shows it, 'cancel' ends it.", err=True)
    elif status != "done":
        sentence = end.job.get("message") or f"The training is {status}."
        click.echo(screen.clean(f"modelserve: {sentence} 'modelserve jobs log {words}' has its log."), err=True)
    if wanted.as_json:
        click.echo(json.dumps(end.job))
    elif status == "done":
        async with jobs.result(end.job["uuid"]) as response:
            write(await response.read() + b"\n", response.content_type, "")
    if wanted.artifacts and not end.is_left:
        await fetch_artifacts(jobs, end.job["uuid"], wanted.artifacts)
    return 0 if status == "done" else INTERRUPTED if end.is_left or end.is_cancelled else 1
