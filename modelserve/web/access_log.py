"""The access log: one line for each request, where the operator has switched it on.

    INFO modelserve.access_log POST /v2/models/digits/predict 200 bytes=172 total_ms=3.21 queue_ms=0.08 predict_ms=2.7
         deployment=digits client=alice request_id=7c0f3a1b9d2e-1f

The path is the route's, never the request's own, and neither query nor headers are shown: no secret gets in.
"""

from __future__ import annotations

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from modelserve.logs import ACCESS
from modelserve.web.counting import Counting
from modelserve.web.requests import CLIENT_LEFT, REQUEST_ID, client_of
from modelserve.web.timing import TIMES, Times

__all__ = ["make_access_log"]

logger = logging.getLogger(ACCESS)


def make_access_log(counting: Counting) -> Middleware:
    """Return the middleware that stands around all others.

    Args:
        counting: Knows which deployment a request is about.
    """
    logger.setLevel(logging.INFO)  # who wants it wants it whatever the level of the rest

    @web.middleware
    async def log_access(request: web.Request, handler: Handler) -> web.StreamResponse:
        since, times = time.perf_counter(), Times()
        token, response = TIMES.set(times), None
        try:
            response = await handler(request)
            return response
        finally:
            TIMES.reset(token)
            total_s = time.perf_counter() - since
            status = CLIENT_LEFT if response is None else response.status
            extra = {
                "bytes": _size(request, response),
                "total_ms": round(1e3 * total_s, 3),
                **_durations(times),
                "deployment": counting.deployment(request),
                "client": client_of(request).name,
                "request_id": request.get(REQUEST_ID, ""),
            }
            logger.info("%s %s %d", request.method, route_of(request), status, extra=extra)

    return log_access


def route_of(request: web.Request) -> str:
    """Return the path of a request's route, "-" where there is none."""
    resource = request.match_info.route.resource
    return "-" if resource is None else resource.canonical


def _durations(times: Times) -> dict[str, float]:
    if not times.dealt_s:
        return {}
    found = {"queue_ms": round(1e3 * (times.dealt_s - times.came_s), 3)}
    if times.answered_s:
        found["predict_ms"] = round(1e3 * (times.answered_s - times.dealt_s), 3)
    return found


def _size(request: web.Request, response: web.StreamResponse | None) -> int:
    """Return how many bytes were sent, head and body; of an answer that is sent later, those of its body."""
    if request.writer.output_size or response is None:
        return request.writer.output_size
    return response.content_length or 0
