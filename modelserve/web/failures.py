"""Turns every error into the JSON body of the native door, in one place.

    {"message": "...", "code": "...", "request_id": "..."}      and, for invalid arguments, also      {"x": ["..."]}

The text of an exception that we did not raise on purpose never reaches a client: it is logged here, once.
"""

from __future__ import annotations

import logging
import random
from typing import Any

import orjson
from aiohttp import web

from modelserve.errors import (
    InvalidArguments,
    ModelserveError,
    NoSpace,
    NotReady,
    QueueFull,
    Stopping,
    StoreUnavailable,
    Unavailable,
)
from modelserve.messages import Failure

__all__ = ["BrokenAnswer", "describe_error", "failure_response", "log_failure"]

logger = logging.getLogger(__name__)

UNEXPECTED = Failure(500, "error", "The server could not handle this request; its log says why.")

RETRY_AFTER_S = {
    error.code: error.retry_after_s for error in (Unavailable, QueueFull, NotReady, NoSpace, Stopping, StoreUnavailable)
}

# How a client may say who it is: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
# A header each: Chromium takes none of two in one.
CHALLENGES = ('Basic realm="modelserve"', "Bearer")

# What aiohttp itself refuses, by status: a code and a sentence.
REFUSALS = {
    400: ("bad_request", "The request is malformed."),
    404: ("not_found", "There is nothing under this path."),
    405: ("method_not_allowed", "This path does not answer to this method; the Allow header says to which it does."),
    413: ("too_large", "The request's body is too large."),
}


class BrokenAnswer(ConnectionResetError):
    """An answer that ends before its end: the connection is closed, so that the client sees that something is missing.

    Args:
        status: What the call counts as, although another status has been sent.
        reason: For the log.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def describe_error(error: BaseException) -> Failure:
    """Return what a client and the log may know of an error."""
    if isinstance(error, InvalidArguments):
        return Failure(error.status, error.code, error.message, error.fields, error.log)
    if isinstance(error, ModelserveError):
        return Failure(error.status, error.code, error.message, None, error.log)
    if isinstance(error, web.HTTPException):  # aiohttp's own: no route, another method, a body over the limit
        code, message = REFUSALS.get(error.status, ("error", "The request was refused."))
        return Failure(error.status, code, message)
    logger.exception("unexpected error while handling a request", exc_info=error)
    return UNEXPECTED


def failure_response(failure: Failure, request_id: str) -> web.Response:
    """Return the response to a request that failed."""
    body = {**failure.fields} if failure.fields is not None else {}
    for name, text in (("message", failure.message), ("code", failure.code), ("request_id", request_id)):
        body.setdefault(name, text)  # an argument of that name keeps its messages
    response = web.Response(status=failure.status, body=_dumps(body), content_type="application/json")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if failure.status == 503:
        response.headers["Retry-After"] = str(_spread(RETRY_AFTER_S.get(failure.code, Unavailable.retry_after_s)))
    if failure.status == 429:
        response.headers["Retry-After"] = "1"  # a model may raise it; where we know better, requests.py says so
    if failure.status == 401:
        response.headers.extend([("WWW-Authenticate", challenge) for challenge in CHALLENGES])
    if failure.status in (408, 413) or failure.code in (NoSpace.code, Stopping.code):
        response.force_close()  # what is left of the body is not worth reading, or the server is about to end
    return response


def log_failure(failure: Failure, request_id: str, deployment: str = "", client: str = "") -> None:
    """Log what only the operator may read of a failure. What the client alone caused leaves no trace here."""
    if failure.log and failure.status >= 500:
        extra = {"deployment": deployment, "client": client, "request_id": request_id, "traceback": failure.traceback}
        logger.error("%s: %s", failure.code, failure.cause, extra=extra)


def _spread(seconds: int) -> int:
    """Return a time of one to three times this, so that all who were refused together do not come back together."""
    return random.randint(seconds, 3 * seconds)


def _dumps(body: dict[str, Any]) -> bytes:
    """Field names come from the client and may hold what is no UTF-8 text, such as a lone surrogate."""
    try:
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        import json

        return json.dumps(body, default=str).encode()
