"""Writes an answer that is bytes as an HTTP response, and the headers that every kind of answer has."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from modelserve.exact import to_json
from modelserve.messages import Answer

__all__ = ["SERVER", "answer_headers", "begun_response", "bytes_response", "json_response"]

SERVER = "modelserve"

# Types that a browser shows as a page and runs script from, beside all that end in +xml; they are only offered as a
# download, without rights.
ACTIVE_TYPES = ("text/html", "text/xml", "application/xml")


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
        disposition = "inline"
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind in ACTIVE_TYPES or kind.endswith("+xml"):
            headers["Content-Security-Policy"] = "sandbox"
            headers["Content-Disposition"] = disposition = "attachment"
        if answer.filename:
            headers["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{quote(answer.filename, safe='')}"
    return headers
