"""GET / and GET /v2/: which versions of the API there are, and what this one can do."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web

from modelserve.web.proxies import prefix_of
from modelserve.web.responses import json_response

__all__ = ["Versions"]


class Versions:
    """The two documents a client starts from.

    Args:
        base_path: The prefix of every path, without a slash at its end, or "".
        described_by: Which of the descriptions the first of them leads to.
    """

    def __init__(self, base_path: str, described_by: str = "openapi.json") -> None:
        self._base_path = base_path
        self._described_by = described_by

    async def root(self, request: web.Request) -> web.Response:
        """Answer with all versions; send a browser to the page."""
        base = prefix_of(request) + self._base_path
        if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            raise web.HTTPFound(f"{base}/api")
        links = [
            {"rel": "help", "type": "text/html", "href": f"{base}/api"},
            {"rel": "describedby", "type": "application/json", "href": f"{base}/{self._described_by}"},
        ]
        return json_response({"versions": [_version(base)], "links": links})

    async def v2(self, request: web.Request) -> web.Response:
        """Answer with this one."""
        version = _version(prefix_of(request) + self._base_path)
        return json_response(version | {"name": "modelserve", "extensions": []})


def _version(base: str) -> dict[str, Any]:
    link = {"rel": "self", "type": "application/json", "href": f"{base}/v2/"}
    return {"id": "v2", "version": "stable", "links": [link]}
