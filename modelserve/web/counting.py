"""Counts every request, by what its route is for: looked up once for each route, when the application is made.

A route that a deployment has for itself is known by its object; of others the name in the path is looked at, which
counts as a deployment's only where there is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aiohttp import hdrs, web

from modelserve.metrics import Metrics, Operation
from modelserve.metrics.requests import RequestMetrics, ToldMetrics

__all__ = ["Counting"]


class Counting:
    """The counting of one application's requests.

    Args:
        metrics: Where.
        names: Those of the deployments.
        base_path: Prefix of every route.
    """

    def __init__(self, metrics: Metrics, names: Collection[str], base_path: str) -> None:
        self._metrics = metrics
        self._names = names
        self._base = base_path
        self._operations: dict[object, Operation] = {}
        self._deployments: dict[object, str] = {}
        self._own: dict[object, RequestMetrics | ToldMetrics] = {}

    def watch(self, app: web.Application) -> None:
        """Learn the routes of an application that has them all."""
        own = {f"{self._base}/v2/models/{name}/predict": name for name in self._names}
        for route in app.router.routes():
            path = "" if route.resource is None else route.resource.canonical.rstrip("/")
            self._operations[route] = _operation(route.method, path.removeprefix(self._base))
            if name := own.get(path):
                self._deployments[route] = name
                self._own[route] = self._metrics.predict(name)

    def answered(self, request: web.Request, status: int, duration_s: float) -> None:
        """Count one answer."""
        metrics = self._own.get(request.match_info.route)
        if metrics is None:
            metrics = self._metrics.requests.of(self.deployment(request), self._operation(request))
        metrics.answered(status, duration_s)

    def failed(self, request: web.Request, status: int, code: str) -> None:
        """Count a request that was answered with one of our errors, where that means that it was turned away."""
        self._metrics.requests.rejected(self.deployment(request), status, code)

    def _operation(self, request: web.Request) -> Operation:
        return self._operations.get(request.match_info.route, Operation.OTHER)

    def deployment(self, request: web.Request) -> str:
        """Return the deployment that a request is about, "" for none."""
        route = request.match_info.route
        name = self._deployments.get(route) or request.match_info.get("name", "")
        return name if name in self._names and route in self._operations else ""


_WHOLE: Mapping[str, Operation] = {
    "/healthz": Operation.HEALTH,
    "/readyz": Operation.HEALTH,
    "/metrics": Operation.METRICS,
    "/v2/models/{name}": Operation.DESCRIBE,
    "/v2/models": Operation.DESCRIBE,
    "/v2": Operation.DESCRIBE,
    "": Operation.DESCRIBE,
    "/openapi.json": Operation.DESCRIBE,
    "/swagger.json": Operation.DESCRIBE,
}


def _operation(method: str, path: str) -> Operation:
    """Return what a route is for."""
    if path in _WHOLE:
        return _WHOLE[path]
    if not path.startswith("/v2/models/"):
        return Operation.DESCRIBE if method in (hdrs.METH_GET, hdrs.METH_HEAD) else Operation.OTHER
    what, _, of_one = path.removeprefix("/v2/models/").partition("/")[2].partition("/")
    if what not in ("predict", "train"):
        return Operation.OTHER
    is_new = method == hdrs.METH_POST and not of_one
    return Operation(what) if is_new else Operation.JOB
