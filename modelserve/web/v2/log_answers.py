"""What the logs of jobs and of deployments have in common: their query, their headers, where a client goes on."""

from __future__ import annotations

from aiohttp import web

from modelserve.errors import BadRequest
from modelserve.web.dispositions import disposition
from modelserve.web.requests import REQUEST_ID
from modelserve.web.responses import SERVER

__all__ = ["LOOK_S", "MAX_TAIL", "last_seen", "log_headers", "switch"]

MAX_TAIL = 100_000

# How often a followed log is looked at.
LOOK_S = 0.5

_SWITCH = {"1": True, "true": True, "0": False, "false": False}


def switch(request: web.Request, name: str) -> bool:
    """Return a switch of the query, which is off by default.

    Raises:
        BadRequest: It is none.
    """
    text = request.query.get(name, "0").lower()
    if text not in _SWITCH:
        raise BadRequest(f"{name} is {text[:40]!r}, but must be 1 or 0.")
    return _SWITCH[text]


def last_seen(request: web.Request) -> int | None:
    """Return the id of the last event that a client has had which comes back, None for one that has had none."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None


def log_headers(request: web.Request, filename: str = "") -> dict[str, str]:
    """Return the headers of a log that is sent as text; with a name, it is one to be saved."""
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "X-Request-ID": request[REQUEST_ID],
        "Server": SERVER,
    }
    if filename:
        headers["Content-Disposition"] = disposition("attachment", filename)
    return headers
