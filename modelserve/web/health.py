"""GET /healthz, /readyz and /metrics: for orchestrators, load balancers and Prometheus."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from modelserve.access.roll import Roll
from modelserve.metrics import CONTENT_TYPE, Metrics
from modelserve.runtime.fleet import Fleet, Status
from modelserve.web.responses import json_response

__all__ = ["Health"]


class Health:
    """Alive is the server; ready is what it serves."""

    def __init__(self, fleet: Fleet, metrics: Metrics, roll: Roll) -> None:
        self._fleet = fleet
        self._roll = roll
        self._metrics = metrics

    async def alive(self, request: web.Request) -> web.Response:
        """Answer 200 for as long as the event loop turns."""
        return json_response({"status": "alive"})

    async def ready(self, request: web.Request) -> web.Response:
        """Answer 200 once every deployment has a warm worker, but for those that failed for good; 503 until then.

        A failed deployment would otherwise take those that serve off the load balancer; the body tells of it. It is
        open to all, so that where there are clients it names no deployment.
        """
        statuses = {name: deployment.status for name, deployment in self._fleet.deployments.items()}
        wanted = [status for status in statuses.values() if status is not Status.FAILED]
        is_ready = bool(wanted) and all(status is Status.READY for status in wanted)
        body: dict[str, Any] = {"status": "ready" if is_ready else "not_ready"}
        if self._roll.is_empty:
            body["deployments"] = {name: status.value for name, status in statuses.items()}
        return json_response(body, status=200 if is_ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer with the metrics in Prometheus' text format."""
        await self._fleet.scrape()
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})
