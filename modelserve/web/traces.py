"""The spans of a request in the server: the request itself, and how long its call was in the queue.

"POST /v2/models/digits/predict" -> "queue"
                                 -> Call.traceparent -> "predict", in the worker

The first is part of the client's trace only where the server is told to believe its ``traceparent``. Whether it is kept
is the server's own decision all the same.
"""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from modelserve.access.roll import Roll
from modelserve.messages import Call
from modelserve.runtime.interface import Answering
from modelserve.settings import Settings
from modelserve.tracing import PROPAGATED, Span, Tracing
from modelserve.web.access_log import route_of
from modelserve.web.calls import CallReader
from modelserve.web.counting import Counting
from modelserve.web.requests import CLIENT_LEFT, REQUEST_ID, client_of
from modelserve.web.rooms import Rooms
from modelserve.web.timing import TIMES, Times

__all__ = ["TracedCalls", "make_traces"]

# Asked every few seconds by machines.
UNTRACED = ("/healthz", "/readyz", "/metrics")


class TracedCalls(CallReader):
    """Reads requests into calls that carry on their trace.

    Args:
        deployment, settings, folder, roll, rooms: As ``CallReader`` has them.
        tracing: Makes the spans.
    """

    def __init__(
        self, deployment: Answering, settings: Settings, folder: str, roll: Roll, rooms: Rooms, *, tracing: Tracing
    ) -> None:
        super().__init__(deployment, settings, folder, roll, rooms)
        self._tracing = tracing

    def begin(self, request: web.Request) -> Call:
        """Return what ``CallReader.begin`` does, with the trace that it belongs to."""
        call = super().begin(request)
        call.traceparent = self._tracing.traceparent()
        return call


def make_traces(tracing: Tracing, counting: Counting, *, is_trusting: bool = False) -> Middleware:
    """Return the middleware that makes the spans of each request; it stands around what answers errors.

    Args:
        tracing: Makes them.
        counting: Knows which deployment a request is about.
        is_trusting: Whether a request's ``traceparent`` is believed.
    """

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        if route.rstrip("/").endswith(UNTRACED):
            return await handler(request)
        fields = {"http.request.method": request.method, "http.route": route, "url.path": request.path}
        name = f"{request.method} {route}"
        parent = tracing.sampled_here(name, request.headers.get(PROPAGATED, "")) if is_trusting else ""
        span = tracing.begin(name, parent, fields, is_server=True)
        times, status = TIMES.get() or Times(), CLIENT_LEFT
        token = TIMES.set(times)
        try:
            with tracing.current(span):
                response = await handler(request)
                status = response.status
                return response
        finally:
            TIMES.reset(token)
            _tell_queue(tracing, span, times)
            span.set_attribute("modelserve.deployment", counting.deployment(request))
            _end(tracing, span, request, status)

    return trace


def _end(tracing: Tracing, span: Span, request: web.Request, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("modelserve.request_id", request.get(REQUEST_ID, ""))
    span.set_attribute("modelserve.client", client_of(request).name)
    if status >= 500:
        tracing.fail(span, str(status))
    span.end()


def _tell_queue(tracing: Tracing, span: Span, times: Times) -> None:
    """Make the span of the time in the queue, now that it is known."""
    if not times.dealt_s:
        return
    epoch_ns = time.time_ns() - round(time.perf_counter() * 1e9)
    queue = tracing.begin("queue", tracing.traceparent(span), {}, start_ns=epoch_ns + round(times.came_s * 1e9))
    queue.end(epoch_ns + round(times.dealt_s * 1e9))
