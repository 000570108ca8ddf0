"""The routes of jobs, of both operations and every deployment, without the prefix of the server."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from modelserve.jobs.job import Operation
from modelserve.jobs.runner import Runner
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.calls import CallReader
from modelserve.web.v2.job_files import JobFileRoutes
from modelserve.web.v2.job_streams import JobStreams
from modelserve.web.v2.jobs import UUID, Jobs
from modelserve.web.v2.submit import Submit

__all__ = ["job_routes"]


def job_routes(runner: Runner, fleet: Fleet, settings: Settings, calls: Mapping[str, CallReader]) -> list[web.RouteDef]:
    """Return the routes of all jobs; those of ``predict`` but its POST, which a deployment has for itself.

    Args:
        runner: Keeps and runs the jobs.
        fleet: Whose deployments they are of.
        settings: The server's.
        calls: Reads the requests for each deployment.
    """
    found = []
    for operation in Operation:
        jobs = Jobs(runner, fleet, settings, operation)
        if operation is Operation.TRAIN:
            found.append(_train(jobs, runner, fleet, settings, calls))
        found += _of(operation, jobs, runner)
    return found


def _of(operation: Operation, jobs: Jobs, runner: Runner) -> list[web.RouteDef]:
    streams, files = JobStreams(jobs, runner), JobFileRoutes(jobs, runner)
    path = f"/v2/models/{{name}}/{operation}"
    one = f"{path}/{{uuid:{UUID}}}"
    return [
        web.get(path, jobs.list),
        web.get(one, jobs.get),
        web.delete(one, jobs.cancel),
        web.get(f"{one}/log", streams.log),
        web.get(f"{one}/events", streams.events, allow_head=False),
        web.get(f"{one}/metrics", jobs.metrics),
        web.get(f"{one}/artifacts", files.artifacts),
        web.get(f"{one}/artifacts/{{path:.+}}", files.artifact, allow_head=False),
        web.get(f"{one}/result", files.result, allow_head=False),
    ]


def _train(
    jobs: Jobs, runner: Runner, fleet: Fleet, settings: Settings, calls: Mapping[str, CallReader]
) -> web.RouteDef:
    submits = {name: Submit(fleet.find(name), calls[name], runner, settings.of(name)) for name in calls}

    async def train(request: web.Request) -> web.StreamResponse:
        return await submits[jobs.deployment(request)].train(request)

    async def expect(request: web.Request) -> None:
        reader = calls.get(request.match_info["name"])
        if reader is not None:
            await reader.expect(request)

    return web.post("/v2/models/{name}/train", train, expect_handler=expect)
