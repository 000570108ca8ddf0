"""The routes of jobs, of both operations and every deployment, without the prefix of the server."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from modelserve.access.client import Right
from modelserve.jobs.job import Operation
from modelserve.jobs.runner import Runner
from modelserve.jobs.turns import Turns
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.calls import CallReader
from modelserve.web.v2.job_files import JobFileRoutes
from modelserve.web.v2.job_object import show_as_deepaas, show_job
from modelserve.web.v2.job_streams import JobStreams
from modelserve.web.v2.jobs import UUID, Jobs
from modelserve.web.v2.submit import Submit

__all__ = ["Route", "job_routes"]

# With what it takes at the deployment that the path names.
Route = tuple[Right, web.RouteDef]


def job_routes(runner: Runner, fleet: Fleet, settings: Settings, calls: Mapping[str, CallReader]) -> list[Route]:
    """Return the routes of all jobs; those of ``predict`` but its POST, which a deployment has for itself.

    Args:
        runner: Keeps and runs the jobs.
        fleet: Whose deployments they are of.
        settings: The server's.
        calls: Reads the requests for each deployment.
    """
    found, turns = list[Route](), Turns()
    for operation in Operation:
        jobs = Jobs(runner, fleet, settings, operation, turns)
        if operation is Operation.TRAIN:
            found.append((Right.TRAIN, _train(jobs, runner, fleet, settings, calls)))
        found += _of(operation, jobs, runner)
    return found


def _of(operation: Operation, jobs: Jobs, runner: Runner) -> list[Route]:
    streams, files = JobStreams(jobs, runner), JobFileRoutes(jobs, runner)
    path = f"/v2/models/{{name}}/{operation}"
    one = f"{path}/{{uuid:{UUID}}}"
    reading = [
        web.get(path, jobs.list),
        web.get(one, jobs.get),
        web.get(f"{one}/log", streams.log),
        web.get(f"{one}/events", streams.events, allow_head=False),
        web.get(f"{one}/metrics", jobs.metrics),
        web.get(f"{one}/artifacts", files.artifacts),
        web.get(f"{one}/artifacts/{{path:(?s:.+)}}", files.artifact, allow_head=False),
        web.get(f"{one}/result", files.result, allow_head=False),
    ]
    cancelling = Right.TRAIN if operation is Operation.TRAIN else Right.CALL
    return [*((Right.CALL, route) for route in reading), (cancelling, web.delete(one, jobs.cancel))]


def _train(
    jobs: Jobs, runner: Runner, fleet: Fleet, settings: Settings, calls: Mapping[str, CallReader]
) -> web.RouteDef:
    def submit(name: str) -> Submit:
        show = show_as_deepaas if fleet.is_deepaas(name) else show_job
        return Submit(fleet.find(name), calls[name], runner, settings.of(name), show=show)

    submits = {name: submit(name) for name in calls}

    async def train(request: web.Request) -> web.StreamResponse:
        return await submits[jobs.deployment(request)].train(request)

    async def expect(request: web.Request) -> None:
        reader = calls.get(request.match_info["name"])
        if reader is not None:
            await reader.expect(request)

    return web.post("/v2/models/{name}/train", train, expect_handler=expect)
