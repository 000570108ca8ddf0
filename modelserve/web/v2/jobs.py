"""The jobs of one operation, of every deployment: listed, shown, cancelled.

    GET .../{op}/    GET .../{op}/{uuid}    DELETE .../{op}/{uuid}    GET .../{op}/{uuid}/metrics

What is read of a job while it runs, its log and its events, stands in job_streams.py, and its files in job_files.py;
each asks here for the job first. New jobs come in by submit.py.
"""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from modelserve.errors import BadRequest, NotFound
from modelserve.jobs.job import Job, Operation
from modelserve.jobs.runner import Runner
from modelserve.jobs.turns import Turns
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.auth import whose
from modelserve.web.proxies import client_address
from modelserve.web.requests import client_of
from modelserve.web.responses import json_response
from modelserve.web.v2.job_object import show_as_deepaas, show_job, show_point

__all__ = ["UUID", "Jobs", "whole_number"]

# The only form of an id that is ever looked up, or made part of a path.
UUID = "[0-9a-f]{32}"

LIMIT = 100
MAX_LIMIT = 1000

# Of the outputs that DEEPaaS's clients find in a list of trainings: 64 of the largest that a job object has.
OUTPUT_ROOM_BYTES = 4 * 1024**2

_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)


class Jobs:
    """The jobs of one operation.

    Args:
        runner: Keeps and runs them.
        fleet: Whose deployments they are of.
        settings: Of each deployment, whether it trains.
        operation: Which.
        turns: Those of clients who read, for all operations together.
    """

    def __init__(
        self, runner: Runner, fleet: Fleet, settings: Settings, operation: Operation, turns: Turns | None = None
    ) -> None:
        self._turns = turns or Turns()
        self._runner = runner
        self._fleet = fleet
        self._settings = settings
        self._operation = operation

    async def list(self, request: web.Request) -> web.Response:
        """Answer with a page of the client's own, newest first; its ``Link`` header leads to the next."""
        limit = whole_number(request, "limit", LIMIT, 1, MAX_LIMIT)
        deployment = self._kept(request)
        cursor = request.query.get("cursor", "")
        async with self._turn(request):
            page = await self._runner.store.list(
                deployment,
                self._operation,
                limit=limit,
                cursor=cursor,
                client=whose(request),
                output_room=OUTPUT_ROOM_BYTES if self._is_deepaas(deployment) else 0,
            )
        if not page.jobs:
            self.deployment(request)
        show = show_as_deepaas if self._is_deepaas(deployment) else partial(show_job, with_result=False)
        response = json_response([show(job) for job in page.jobs])
        if page.cursor:
            response.headers["Link"] = f'<?{urlencode({"limit": limit, "cursor": page.cursor})}>; rel="next"'
        return response

    async def get(self, request: web.Request) -> web.Response:
        """Answer with one."""
        return json_response(self._show(await self.job(request)))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel one that has not ended.

        Raises:
            Conflict: It has ended.
            NotFound: There is none of that id.
        """
        deployment, uuid = self._kept(request), request.match_info["uuid"]
        await self.job(request)
        return json_response(self._show(await self._runner.cancel(deployment, self._operation, uuid)))

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer with the metrics that one has reported, by step."""
        job = await self.job(request)
        async with self._turn(request):
            points = await self._runner.store.history(job.uuid)
        return json_response([show_point(point) for point in points])

    async def job(self, request: web.Request) -> Job:
        """Return the job that a request is about.

        Raises:
            NotFound: There is none, here, of the client.
        """
        deployment, uuid = self._kept(request), request.match_info["uuid"]
        wanted = partial(self._runner.store.get, deployment=deployment, operation=self._operation)
        try:
            async with self._turn(request):
                return await wanted(uuid, client=whose(request))
        except NotFound:
            self.deployment(request)  # which may say more
            raise

    def _show(self, job: Job) -> dict[str, Any]:
        return show_as_deepaas(job) if self._is_deepaas(job.deployment) else show_job(job)

    def _is_deepaas(self, deployment: str) -> bool:
        """Return whether these are trainings of a package for DEEPaaS, whose clients know nothing of jobs."""
        return self._operation is Operation.TRAIN and self._fleet.is_deepaas(deployment)

    def _turn(self, request: web.Request) -> AbstractAsyncContextManager[None]:
        """Return the turn of a client to read from the store: its name, or where it calls from where it needs none."""
        return self._turns.of(client_of(request).name or client_address(request))

    def _kept(self, request: web.Request) -> str:
        """Return the name of the deployment whose jobs a request is about.

        Of one that is not served any more, or trains no more, an administrator can see jobs and cancel them.

        Raises:
            NotFound: There is none of that name for this client.
        """
        return request.match_info["name"] if whose(request) is None else self.deployment(request)

    def deployment(self, request: web.Request) -> str:
        """Return the name of the deployment that a request is about.

        Raises:
            NotFound: There is none of that name, or it does not train.
        """
        name = self._fleet.find(request.match_info["name"]).name
        if self._operation is Operation.TRAIN and not self._settings.of(name).train:
            raise NotFound("Trainings of this model are switched off.")
        return name


def whole_number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the query.

    Raises:
        BadRequest: It is none, or out of bounds.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise BadRequest(f"{name} is {text[:40]!r}, but must be a whole number from {low} to {high}.")
    return int(text)
