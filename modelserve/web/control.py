"""The operator's door, on a Unix socket of its own: what each deployment and its workers do, and reloading them.

    GET /status                          what runs, in one JSON object
    POST /reload   POST /reload/{name}   a line of JSON for each step: {"deployment", "step", "message"}

What a client on the network may not know (process ids, queues, why a model failed) is told here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from modelserve import __version__
from modelserve.errors import BadRequest, ModelserveError
from modelserve.jobs.runner import Runner
from modelserve.logs.kept import KeptLogs
from modelserve.metrics.connections import ConnectionMetrics
from modelserve.runtime.fleet import Fleet
from modelserve.web.connection import Connection, Patience
from modelserve.web.http_version import require_version
from modelserve.web.responses import json_response
from modelserve.web.rooms import Rooms

__all__ = ["Step", "build_control", "connections"]


# Errors that are told of, the newest of all deployments.
ERRORS = 10


class Step(msgspec.Struct, frozen=True):
    """How a reload goes: ``step`` is "reloading", "reloaded", or "kept", with why the old version stays."""

    deployment: str
    step: str
    message: str = ""


def build_control(fleet: Fleet, url: str, jobs: Runner | None = None, logs: KeptLogs | None = None) -> web.Application:
    """Return the application of the control socket of the server at ``url``."""
    control = _Control(fleet, url, jobs, logs)
    app = web.Application(middlewares=[_surround])
    app.add_routes(
        [
            web.get("/status", control.status),
            web.post("/reload", control.reload),
            web.post("/reload/{name}", control.reload),
        ]
    )
    return app


@web.middleware
async def _surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        require_version(request)
    except BadRequest as error:
        return json_response({"message": error.message}, status=error.status)
    return await handler(request)


def connections(server: web.Server, patience: Patience, rooms: Rooms) -> Callable[[], Connection]:
    """Return what makes the connections of that socket, which are as bounded as those of the port."""
    loop, metrics = asyncio.get_running_loop(), ConnectionMetrics()  # of nobody: the operator's are not counted
    return functools.partial(
        Connection, server, patience=patience, on_end=_forget, rooms=rooms, metrics=metrics, loop=loop, access_log=None
    )


def _forget(connection: Connection) -> None:
    """Do nothing: the operator's connections are not counted."""


async def _reload_in_turn(fleet: Fleet, names: Sequence[str]) -> AsyncIterator[Step]:
    """Reload deployments one after the other, so that the machine holds only one of them twice, and tell each step."""
    for name in names:
        yield Step(name, "reloading")
        try:
            await fleet.reload(name)
        except ModelserveError as error:
            yield Step(name, "kept", error.message)
        else:
            yield Step(name, "reloaded")


class _Control:
    def __init__(self, fleet: Fleet, url: str, jobs: Runner | None, logs: KeptLogs | None) -> None:
        self._fleet = fleet
        self._url = url
        self._jobs = jobs
        self._logs = logs

    async def status(self, request: web.Request) -> web.Response:
        """Answer with all that there is to know."""
        deployments = [deployment.status_report() for deployment in self._fleet.deployments.values()]
        shown = {"url": self._url, "version": __version__, "pid": os.getpid()}
        running = [] if self._jobs is None else self._jobs.running()
        faults = [] if self._logs is None else [fault._asdict() for fault in self._logs.faults()[:ERRORS]]
        found = {"deployments": deployments, "jobs": running, "errors": faults}
        return json_response(shown | {name: msgspec.to_builtins(each) for name, each in found.items()})

    async def reload(self, request: web.Request) -> web.StreamResponse:
        """Reload one deployment or all, and tell how it goes; it goes on when the operator leaves."""
        name = request.match_info.get("name")
        if name is not None and name not in self._fleet.deployments:
            known = ", ".join(self._fleet.deployments)
            return json_response({"message": f"There is no deployment {name!r}; there are {known}."}, status=404)
        names = [name] if name is not None else list(self._fleet.deployments)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        async for step in _reload_in_turn(self._fleet, names):
            with contextlib.suppress(ConnectionError):
                await response.write(msgspec.json.encode(step) + b"\n")
        return response
