"""GET / and GET /v2/: which versions of the API there are, and what this one can do."""

from __future__ import annotations

from aiohttp import hdrs, web

from modelserve.web.responses import json_response

__all__ = ["Versions"]


class Versions:
    """The two documents a client starts from."""

    def __init__(self, base_path: str) -> None:
        self._base_path = base_path
        self._version = {
            "id": "v2",
            "version": "stable",
            "links": [{"rel": "self", "type": "application/json", "href": f"{base_path}/v2/"}],
        }
        self._links = [
            {"rel": "help", "type": "text/html", "href": f"{base_path}/api"},
            {"rel": "describedby", "type": "application/json", "href": f"{base_path}/openapi.json"},
        ]

    async def root(self, request: web.Request) -> web.Response:
        """Answer with all versions; send a browser to the page."""
        if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            raise web.HTTPFound(f"{self._base_path}/api")
        return json_response({"versions": [self._version], "links": self._links})

    async def v2(self, request: web.Request) -> web.Response:
        """Answer with this one."""
        return json_response(self._version | {"name": "modelserve", "extensions": []})
