"""The files of a job: what its author keeps, and what it has answered. The kernel sends them; see files.py."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from modelserve.errors import NotFound
from modelserve.exact import to_json
from modelserve.jobs.artifacts import Artifacts
from modelserve.jobs.job import Operation, Status
from modelserve.jobs.runner import Runner
from modelserve.messages import Answer
from modelserve.regular_files import open_regular, opened
from modelserve.web.files import LOOKING, send_open
from modelserve.web.requests import REQUEST_ID
from modelserve.web.responses import json_response
from modelserve.web.v2.job_object import is_filed
from modelserve.web.v2.jobs import MAX_LIMIT, Jobs, whole_number

__all__ = ["JobFileRoutes"]

BYTES = "application/octet-stream"
JSON = "application/json"

# What a client reads that asks for the result of a job which has none.
NO_RESULT = {
    Status.QUEUED: "There is no result yet: the job waits for its turn.",
    Status.RUNNING: "There is no result yet: the job is still running.",
    Status.ERROR: "There is no result: the job has failed.",
    Status.CANCELLED: "There is no result: the job was cancelled.",
    Status.LOST: "There is no result: the job was lost when its server ended.",
}


class JobFileRoutes:
    """The artifacts and the results of the jobs of one operation."""

    def __init__(self, jobs: Jobs, runner: Runner) -> None:
        self._jobs = jobs
        self._runner = runner

    async def artifacts(self, request: web.Request) -> web.Response:
        """Answer with a page of the files that a job's author has kept so far; its ``Link`` header leads to the next.

        Raises:
            QueueFull: Too many ask for files at the same time.
        """
        limit = whole_number(request, "limit", MAX_LIMIT, 1, MAX_LIMIT)
        job = await self._jobs.job(request)
        kept, cursor = Artifacts(self._runner.files.artifacts(job.uuid)), request.query.get("cursor", "")
        page = await request.config_dict[LOOKING].run(kept.page, limit, cursor)
        response = json_response(
            [{"name": one.name, "size": one.size, "media_type": media_type(one.name)} for one in page.artifacts]
        )
        if page.cursor:
            response.headers["Link"] = f'<?{urlencode({"limit": limit, "cursor": page.cursor})}>; rel="next"'
        return response

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        """Answer with one of these files, which alone is looked at.

        Raises:
            NotFound: It is none of them: links lead nowhere, and no name leads out of the job's folder.
            QueueFull: Too many ask for files at the same time.
        """
        job = await self._jobs.job(request)
        name, kept = request.match_info["path"], Artifacts(self._runner.files.artifacts(job.uuid))
        answer = Answer(0, media_type(name), filename=name.rpartition("/")[2])
        return await _send(request, answer, lambda: kept.open(name))

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Answer with what a job has returned, in its own media type.

        Raises:
            NotFound: It has not returned anything, or not yet.
        """
        job = await self._jobs.job(request)
        if job.status is not Status.DONE:
            raise NotFound(NO_RESULT[job.status])
        if job.operation is Operation.PREDICT:
            kept = job.output if isinstance(job.output, dict) else {}
            answer = Answer(0, kept.get("content_type", BYTES), filename=kept.get("filename", ""))
            return await _send(request, answer, _opening(self._runner.files.result(job.uuid)))
        if is_filed(job):
            return await _send(request, Answer(0, JSON), _opening(self._runner.files.output(job.uuid)))
        return web.Response(body=to_json(job.output), content_type=JSON)


def media_type(name: str) -> str:
    """Return the media type of a file by its name; what is compressed is bytes.

    >>> media_type("plots/loss.png"), media_type("weights.npz"), media_type("drawing.svg.gz")
    ('image/png', 'application/octet-stream', 'application/octet-stream')
    """
    guessed, encoding = mimetypes.guess_type(name.rpartition("/")[2])  # of an address "data:" it would believe the type
    return guessed if guessed and not encoding else BYTES


async def _send(request: web.Request, answer: Answer, opening: Callable[[], int]) -> web.StreamResponse:
    with opened(await request.config_dict[LOOKING].run(opening, drop=os.close)) as source:
        return await send_open(request, answer, source, request[REQUEST_ID])


def _opening(path: Path) -> Callable[[], int]:
    def opening() -> int:
        try:
            return open_regular(path)
        except OSError as error:
            message = "The file is not here: the server that ran the job has it, or it has been removed."
            raise NotFound(message) from error

    return opening
