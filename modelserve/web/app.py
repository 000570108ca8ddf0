"""Builds the HTTP application: what surrounds a request, and the whole route table on one screen."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from modelserve.access.client import Right
from modelserve.access.roll import Roll
from modelserve.jobs.runner import Runner
from modelserve.logs.kept import KeptLogs
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.tracing import Tracing
from modelserve.web.access_log import make_access_log
from modelserve.web.auth import Guard, Need
from modelserve.web.calls import CallReader
from modelserve.web.counting import Counting
from modelserve.web.documents import Documents
from modelserve.web.files import with_file_threads
from modelserve.web.gate import Rules, allow_origins, make_gate
from modelserve.web.health import Health
from modelserve.web.pages import Pages
from modelserve.web.proxies import PROXIES
from modelserve.web.published import Published
from modelserve.web.requests import expect, make_surround
from modelserve.web.rooms import Rooms
from modelserve.web.slashes import SEVERAL, to_single
from modelserve.web.timing import Timed, TimedCache
from modelserve.web.traces import TracedCalls, make_traces
from modelserve.web.v2.cached import CachedPredict
from modelserve.web.v2.job_routes import job_routes
from modelserve.web.v2.model_log import ModelLogs, nothing
from modelserve.web.v2.models import Models
from modelserve.web.v2.predict import Predict
from modelserve.web.v2.submit import Submit
from modelserve.web.v2.versions import Versions

__all__ = ["Parts", "build_app"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the application is built around; all of it is owned, started and closed by the server.

    ``jobs`` is None where trainings are switched off everywhere, and no jobs are kept. ``roll`` knows who may call.
    ``is_local`` is whether only this machine can reach the server. ``logs`` keeps what the log says of each deployment.
    ``tracing`` makes spans, None where nobody wants them. ``rooms`` is what bodies and answers may take together.
    """

    fleet: Fleet
    settings: Settings
    metrics: Metrics
    jobs: Runner | None = None
    roll: Roll = dataclasses.field(default_factory=Roll)
    is_local: bool = False
    logs: KeptLogs = dataclasses.field(default_factory=lambda: KeptLogs([], lines=1))
    tracing: Tracing | None = None
    rooms: Rooms = dataclasses.field(default_factory=lambda: Rooms.of(Settings()))


# What routes need of who calls; see auth.py. A new route is for administrators alone until it says otherwise.
OPEN = Need(Right.NONE)
ANY_CLIENT = Need(Right.CALL)
OF_ALL = Need(Right.CALL, is_whole=True)
ADMIN_OF_ALL = Need(Right.ADMIN, is_whole=True)
ADMIN_OF_ONE = Need(Right.ADMIN, is_named=True)
OF_ONE = Need(Right.CALL, is_named=True)
SHOWN = Need(Right.CALL, is_named=True, is_public=True)


def build_app(parts: Parts) -> web.Application:
    """Return the application. Every route answers with and without a trailing slash, without a redirect."""
    base = parts.settings.base_path
    # A server of packages for DEEPaaS alone leads its clients to the document that they read.
    is_deepaas = all(map(parts.fleet.is_deepaas, parts.fleet.deployments))
    versions = Versions(base, "swagger.json" if is_deepaas else "openapi.json")
    guard = Guard(parts.roll, [name for name in parts.fleet.deployments if parts.settings.of(name).access == "public"])
    published = Published(parts.fleet, parts.settings, guard, keeps_jobs=parts.jobs is not None)
    models = Models(published, base)
    health = Health(parts.fleet, parts.metrics, parts.roll)
    logs = ModelLogs(parts.fleet, parts.logs)
    debug = (ADMIN_OF_ALL, logs.debug) if parts.settings.debug_endpoint else (ANY_CLIENT, nothing)
    documents = Documents(published, parts.settings)
    pages = Pages(base_path=base, title=parts.settings.title, roll=parts.roll)

    calls = {name: _calls(parts, name) for name in parts.fleet.deployments}

    counting = Counting(parts.metrics, parts.fleet.deployments, base)
    rules = Rules.of(parts.settings, is_local=parts.is_local)
    surround = make_surround(counting, parts.roll, guard.admit, make_gate(rules))
    # No limit of aiohttp's: what reads a body has its own, and says it.
    app = web.Application(middlewares=[*_around(parts, counting), surround], client_max_size=0)
    app[PROXIES] = rules.proxies
    with_file_threads(app)
    if (allow := allow_origins(rules)) is not None:
        app.on_response_prepare.append(allow)
    table: list[tuple[Need, list[web.RouteDef]]] = [
        *((_calling(name), _predict(parts, guard, name, calls[name])) for name in parts.fleet.deployments),
        (OF_ONE, _both(web.post, f"{base}/v2/models/{{name}}/predict", models.unknown)),
        *_jobs(parts, calls),
        (SHOWN, _both(web.get, f"{base}/v2/models/{{name}}", models.get)),
        (ADMIN_OF_ONE, _both(web.get, f"{base}/v2/models/{{name}}/log", logs.log)),
        (ANY_CLIENT, _both(web.get, f"{base}/v2/models", models.list)),
        (debug[0], _both(web.get, f"{base}/v2/debug", debug[1])),
        (ANY_CLIENT, _both(web.get, f"{base}/v2", versions.v2)),
        (ANY_CLIENT, _both(web.get, base, versions.root)),
        (OPEN, _both(web.get, f"{base}/healthz", health.alive)),
        (OPEN, _both(web.get, f"{base}/readyz", health.ready)),
        (OF_ALL, _both(web.get, f"{base}/metrics", health.metrics)),
        (ANY_CLIENT, _both(web.get, f"{base}/openapi.json", documents.openapi)),
        (ANY_CLIENT, _both(web.get, f"{base}/swagger.json", documents.swagger)),
        *((OPEN, _both(web.get, base + page.path, page.handler)) for page in pages.routes()),
        (ANY_CLIENT, [web.route("*", SEVERAL, to_single, expect_handler=expect)]),
    ]
    for need, routes in table:
        guard.add(app, need, routes)
    counting.watch(app)
    return app


def _calls(parts: Parts, name: str) -> CallReader:
    deployment = parts.fleet.caches.get(name) or parts.fleet.find(name)
    if parts.tracing is None:
        return CallReader(deployment, parts.settings.of(name), parts.fleet.folder, parts.roll, parts.rooms)
    return TracedCalls(
        deployment, parts.settings.of(name), parts.fleet.folder, parts.roll, parts.rooms, tracing=parts.tracing
    )


def _around(parts: Parts, counting: Counting) -> list[Middleware]:
    """Return what stands around all else, where it is switched on."""
    around = [make_access_log(counting)] if parts.settings.access_log else []
    if parts.tracing is None:
        return around
    return [*around, make_traces(parts.tracing, counting, is_trusting=parts.settings.trust_traceparent)]


def _calling(name: str) -> Need:
    return Need(Right.CALL, name, is_public=True)


def _predict(parts: Parts, guard: Guard, name: str, calls: CallReader) -> list[web.RouteDef]:
    deployment = parts.fleet.find(name)
    cache = parts.fleet.caches.get(name)
    settings = parts.settings.of(name)
    later = None if parts.jobs is None else Submit(deployment, calls, parts.jobs, settings, guard.require_token).predict
    is_timed = parts.settings.access_log or parts.tracing is not None
    predict: Predict
    if cache is None:
        predict = Predict(Timed(deployment) if is_timed else deployment, calls, later=later)
    else:
        predict = CachedPredict(TimedCache(cache) if is_timed else cache, calls, later=later)
    path = f"{parts.settings.base_path}/v2/models/{name}/predict"
    return _both(web.post, path, predict.answer, expect_handler=calls.expect)


def _jobs(parts: Parts, calls: Mapping[str, CallReader]) -> list[tuple[Need, list[web.RouteDef]]]:
    if parts.jobs is None:
        return []
    base, found = parts.settings.base_path, job_routes(parts.jobs, parts.fleet, parts.settings, calls)
    return [
        (
            Need(right, is_named=True),
            _both(functools.partial(web.route, route.method), base + route.path, route.handler, **route.kwargs),
        )
        for right, route in found
    ]


def _both(method: Callable[..., web.RouteDef], path: str, handler: Any, **options: Any) -> list[web.RouteDef]:
    """Return the routes of one path, with and without its trailing slash."""
    options.setdefault("expect_handler", expect)
    return [method(form, handler, **options) for form in (f"{path}/", path) if form]
