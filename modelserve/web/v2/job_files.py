"""The files of a job: what its author keeps, and what it has answered. The kernel sends them; see files.py."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from modelserve.errors import NotFound
from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import Operation, Status
from modelserve.jobs.runner import Runner
from modelserve.messages import Answer, FileAnswer
from modelserve.web.files import send_file
from modelserve.web.requests import REQUEST_ID
from modelserve.web.responses import json_response
from modelserve.web.v2.job_object import is_filed
from modelserve.web.v2.jobs import Jobs

__all__ = ["JobFileRoutes"]

BYTES = "application/octet-stream"
JSON = "application/json"


class JobFileRoutes:
    """The artifacts and the results of the jobs of one operation."""

    def __init__(self, jobs: Jobs, runner: Runner) -> None:
        self._jobs = jobs
        self._runner = runner

    async def artifacts(self, request: web.Request) -> web.Response:
        """Answer with the name, size and media type of each file that a job's author has kept so far."""
        job = await self._jobs.job(request)
        return json_response(await asyncio.to_thread(_list_artifacts, self._runner.files, job.uuid))

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        """Answer with one of these files.

        Raises:
            NotFound: It is none of them: links lead nowhere, and no name leads out of the job's folder.
        """
        job = await self._jobs.job(request)
        name = request.match_info["path"]
        path = await asyncio.to_thread(self._runner.files.artifact, job.uuid, name)
        return await _send(request, Answer(0, media_type(name), filename=name.rpartition("/")[2]), path)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Answer with what a job has returned, in its own media type.

        Raises:
            NotFound: It has not returned anything, or not yet.
        """
        job = await self._jobs.job(request)
        if job.status is not Status.DONE:
            raise NotFound(f"There is no result: the job is {job.status.value}.")
        if job.operation is Operation.PREDICT:
            answer = Answer(0, job.output["content_type"], filename=job.output["filename"])
            return await _send(request, answer, self._runner.files.result(job.uuid))
        if is_filed(job):
            return await _send(request, Answer(0, JSON), self._runner.files.output(job.uuid))
        return web.Response(body=orjson.dumps(job.output), content_type=JSON)


def media_type(name: str) -> str:
    """Return the media type of a file by its name; what is compressed is bytes.

    >>> media_type("plots/loss.png"), media_type("weights.npz"), media_type("drawing.svg.gz")
    ('image/png', 'application/octet-stream', 'application/octet-stream')
    """
    guessed, encoding = mimetypes.guess_type(name)
    return guessed if guessed and not encoding else BYTES


async def _send(request: web.Request, answer: Answer, path: Path) -> web.StreamResponse:
    if not await asyncio.to_thread(path.is_file):
        raise NotFound("The file is not here: the server that ran the job has it, or it has been removed.")
    return await send_file(request, answer, FileAnswer(str(path), 0), request[REQUEST_ID])


def _list_artifacts(files: JobFiles, uuid: str) -> list[dict[str, Any]]:
    folder, found = files.artifacts(uuid), []
    for name in files.artifact_names(uuid):
        try:
            size = os.lstat(folder / name).st_size
        except FileNotFoundError:  # a training writes and removes while this looks
            continue
        found.append({"name": name, "size": size, "media_type": media_type(name)})
    return found
