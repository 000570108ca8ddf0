"""Writes an answer that is bytes as an HTTP response, and the headers that every kind of answer has."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from modelserve.exact import to_json
from modelserve.messages import Answer
from modelserve.web.dispositions import disposition

__all__ = ["SERVER", "answer_headers", "begun_response", "bytes_response", "is_shown", "json_response"]

SERVER = "modelserve"

# What a browser shows without running any of it; pictures, sounds and films are too, but for those in XML. All else is
# only offered as a download, without rights: pages, scripts, style sheets, archives of them, and what nobody knows.
SHOWN_TYPES = frozenset(
    {
        "application/json",
        "application/jsonl",
        "application/octet-stream",
        "application/x-ndjson",
        "application/x-npy",
        "text/csv",
        "text/event-stream",
        "text/plain",
        "text/tab-separated-values",
    }
)
SHOWN_KINDS = ("audio/", "image/", "video/")


def json_response(body: Any, *, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.Response(status=status, body=to_json(body), content_type="application/json")


def bytes_response(answer: Answer) -> web.Response:
    """Return the response to a call whose answer is bytes."""
    return web.Response(body=answer.body, headers=answer_headers(answer))


def begun_response(answer: Answer, request_id: str) -> web.StreamResponse:
    """Return a response with all its headers, for an answer whose body is sent bit by bit."""
    headers = answer_headers(answer)
    headers["X-Request-ID"] = request_id
    headers["Server"] = SERVER
    return web.StreamResponse(headers=headers)


def answer_headers(answer: Answer) -> CIMultiDict[str]:
    """Return the type of an answer, the name it may be saved under, and what keeps a browser from running it."""
    headers = CIMultiDict({"Content-Type": answer.content_type, "X-Content-Type-Options": "nosniff"})
    if answer.content_type != "application/json" or answer.filename:
        kind = "inline"
        if not is_shown(answer.content_type):
            headers["Content-Security-Policy"] = "sandbox"
            headers["Content-Disposition"] = kind = "attachment"
        if answer.filename:
            headers["Content-Disposition"] = disposition(kind, answer.filename)
    return headers


@lru_cache(maxsize=256)
def is_shown(content_type: str) -> bool:
    """Tell whether a browser may show a body of a media type itself.

    With a comma, browsers take the header for several, of which the last counts (https://fetch.spec.whatwg.org/,
    "extract a MIME type"), so that none is known.

    >>> is_shown("image/png"), is_shown("image/svg+xml"), is_shown("text/javascript"), is_shown("image/a;a=,text/html")
    (True, False, False, False)
    """
    kind = content_type.partition(";")[0].strip().lower()
    if "," in content_type or kind.endswith(("+xml", "/svg", "/xml")):
        return False
    return kind in SHOWN_TYPES or kind.startswith(SHOWN_KINDS)
