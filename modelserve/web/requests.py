"""What surrounds every request: its id, and the one place where errors become responses."""

from __future__ import annotations

import itertools
import re
import secrets

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from modelserve.web.failures import describe_error, failure_response, log_failure

__all__ = ["REQUEST_ID", "make_surround"]

REQUEST_ID = web.RequestKey("request_id", str)

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def make_surround() -> Middleware:
    """Return the outermost middleware: it takes over or makes the request id, and answers every error in JSON.

    Ids are a random part of the server's own and a counter: unique, and 15 times cheaper than a UUID each (0.14 us
    against 2.2, timeit).
    """
    prefix = secrets.token_hex(6)
    counter = itertools.count(1)

    @web.middleware
    async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request.headers.get("X-Request-ID")
        if request_id is None or not _WELL_FORMED.fullmatch(request_id):
            request_id = f"{prefix}-{next(counter):x}"
        request[REQUEST_ID] = request_id
        try:
            response = await handler(request)
        except ConnectionError:  # the client has left, or must not take what it has for a whole answer
            return _end(request)
        except Exception as error:  # the border of a request
            response = _failure(error, request_id)
        if not response.prepared:
            response.headers["X-Request-ID"] = request_id
            response.headers["Server"] = "modelserve"
        return response

    return surround


def _end(request: web.Request) -> web.StreamResponse:
    """Close the connection once what was written is sent; aiohttp then finds that it cannot send this response."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _failure(error: Exception, request_id: str) -> web.StreamResponse:
    if isinstance(error, web.HTTPRedirection):
        return error
    failure = describe_error(error)
    log_failure(failure, request_id)
    response = failure_response(failure, request_id)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return response
