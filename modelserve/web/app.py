"""Builds the HTTP application: what surrounds a request, and the whole route table on one screen."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from modelserve.jobs.runner import Runner
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.calls import CallReader
from modelserve.web.documents import Documents
from modelserve.web.health import Health
from modelserve.web.pages import Pages
from modelserve.web.published import Published
from modelserve.web.requests import make_surround
from modelserve.web.v2.cached import CachedPredict
from modelserve.web.v2.job_routes import job_routes
from modelserve.web.v2.models import Models
from modelserve.web.v2.predict import Predict
from modelserve.web.v2.submit import Submit
from modelserve.web.v2.versions import Versions

__all__ = ["Parts", "build_app"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the application is built around; all of it is owned, started and closed by the server.

    ``jobs`` is None where trainings are switched off everywhere, and no jobs are kept.
    """

    fleet: Fleet
    settings: Settings
    metrics: Metrics
    jobs: Runner | None = None


def build_app(parts: Parts) -> web.Application:
    """Return the application. Every route answers with and without a trailing slash, without a redirect."""
    base = parts.settings.base_path
    versions = Versions(base)
    published = Published(parts.fleet, parts.settings, keeps_jobs=parts.jobs is not None)
    models = Models(published, base)
    health = Health(parts.fleet, parts.metrics)
    documents = Documents(published, parts.settings)
    pages = Pages(base_path=base, title=parts.settings.title)

    calls = {name: _calls(parts, name) for name in parts.fleet.deployments}

    app = web.Application(middlewares=[make_surround()], client_max_size=_most(parts))
    app.add_routes(
        [
            *(route for name in parts.fleet.deployments for route in _predict(parts, name, calls[name])),
            *_both(web.post, f"{base}/v2/models/{{name}}/predict", models.unknown),
            *_jobs(parts, calls),
            *_both(web.get, f"{base}/v2/models/{{name}}", models.get),
            *_both(web.get, f"{base}/v2/models", models.list),
            *_both(web.get, f"{base}/v2", versions.v2),
            *_both(web.get, base, versions.root),
            *_both(web.get, f"{base}/healthz", health.alive),
            *_both(web.get, f"{base}/readyz", health.ready),
            *_both(web.get, f"{base}/metrics", health.metrics),
            *_both(web.get, f"{base}/openapi.json", documents.openapi),
            *_both(web.get, f"{base}/swagger.json", documents.swagger),
            *(route for page in pages.routes() for route in _both(web.get, base + page.path, page.handler)),
        ]
    )
    return app


def _most(parts: Parts) -> int:
    """Return the largest body that any deployment takes; each route checks its own limit."""
    return max((parts.settings.of(name).max_body_bytes for name in parts.fleet.deployments), default=1)


def _calls(parts: Parts, name: str) -> CallReader:
    deployment = parts.fleet.caches.get(name) or parts.fleet.find(name)
    return CallReader(deployment, parts.settings.of(name), parts.fleet.folder)


def _predict(parts: Parts, name: str, calls: CallReader) -> list[web.RouteDef]:
    deployment, metrics = parts.fleet.find(name), parts.metrics.deployment(name)
    cache = parts.fleet.caches.get(name)
    later = None if parts.jobs is None else Submit(deployment, calls, parts.jobs, parts.settings.of(name)).predict
    if cache is None:
        predict = Predict(deployment, calls, metrics, later=later)
    else:
        predict = CachedPredict(cache, calls, metrics, later=later)
    path = f"{parts.settings.base_path}/v2/models/{name}/predict"
    return _both(web.post, path, predict.answer, expect_handler=calls.expect)


def _jobs(parts: Parts, calls: Mapping[str, CallReader]) -> list[web.RouteDef]:
    if parts.jobs is None:
        return []
    base, routes = parts.settings.base_path, job_routes(parts.jobs, parts.fleet, parts.settings, calls)
    return [
        form
        for route in routes
        for form in _both(functools.partial(web.route, route.method), base + route.path, route.handler, **route.kwargs)
    ]


def _both(method: Callable[..., web.RouteDef], path: str, handler: Any, **options: Any) -> list[web.RouteDef]:
    """Return the routes of one path, with and without its trailing slash."""
    return [method(form, handler, **options) for form in (f"{path}/", path) if form]
