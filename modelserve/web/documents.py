"""GET /openapi.json and /swagger.json: written out once for the models that serve now, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from modelserve import __version__
from modelserve.messages import Description
from modelserve.settings import Settings
from modelserve.web.openapi import build_openapi
from modelserve.web.published import Published
from modelserve.web.swagger import build_swagger

__all__ = ["Documents"]


class Documents:
    """The two descriptions of the service, built again only when a model's description has changed."""

    def __init__(self, published: Published, settings: Settings) -> None:
        self._published = published
        self._title = settings.title
        self._base_path = settings.base_path
        self._kept: dict[Callable[..., Any], tuple[dict[str, Description], bytes]] = {}

    async def openapi(self, request: web.Request) -> web.Response:
        """Answer with the OpenAPI 3.1 document."""
        return self._answer(build_openapi)

    async def swagger(self, request: web.Request) -> web.Response:
        """Answer with the Swagger 2.0 document."""
        return self._answer(build_swagger)

    def _answer(self, build: Callable[..., Mapping[str, Any]]) -> web.Response:
        models = self._published.models()
        if build not in self._kept or self._kept[build][0] != models:
            jobs = {name: self._published.operations(name) for name in models}
            document = build(models, title=self._title, version=__version__, base_path=self._base_path, jobs=jobs)
            self._kept[build] = (models, orjson.dumps(document))
        return web.Response(body=self._kept[build][1], content_type="application/json")
