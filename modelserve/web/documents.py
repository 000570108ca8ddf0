"""GET /openapi.json and /swagger.json: written out once for the models that serve now, and kept.

A client that may call some of the models gets a document of these alone. A model whose description cannot be written
out is left out, and the log says so.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from modelserve import __version__
from modelserve.messages import Description
from modelserve.settings import Settings
from modelserve.web.access_text import Access, openapi_access, swagger_access
from modelserve.web.openapi import build_openapi
from modelserve.web.proxies import prefix_of
from modelserve.web.published import Published
from modelserve.web.swagger import build_swagger

__all__ = ["Documents"]

logger = logging.getLogger(__name__)

# Documents that are kept: clients differ in what they may call.
MOST_KEPT = 32


class _Kept(NamedTuple):
    models: dict[str, Description]
    access: Access
    body: bytes


class Documents:
    """The two descriptions of the service, built again only when a model's description has changed."""

    def __init__(self, published: Published, settings: Settings) -> None:
        self._published = published
        self._settings = settings
        self._kept: dict[tuple[str, ...], _Kept] = {}

    async def openapi(self, request: web.Request) -> web.Response:
        """Answer with the OpenAPI 3.1 document."""
        build = functools.partial(build_openapi, calls_back=bool(self._settings.callback_hosts))
        return self._answer(request, "openapi", lambda access, **about: openapi_access(build(**about), access))

    async def swagger(self, request: web.Request) -> web.Response:
        """Answer with the Swagger 2.0 document."""
        return self._answer(request, "swagger", lambda access, **about: swagger_access(build_swagger(**about), access))

    def _answer(self, request: web.Request, kind: str, build: Callable[..., Mapping[str, Any]]) -> web.Response:
        models, access = self._published.models(request), self._access()
        base_path = prefix_of(request) + self._settings.base_path
        key = (kind, base_path, *models)
        kept = self._kept.get(key)
        if kept is None or kept.models != models or kept.access != access:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            write = functools.partial(self._write, functools.partial(build, access, base_path=base_path))
            kept = self._kept[key] = _Kept(models, access, self._written(write, models))
        return web.Response(body=kept.body, content_type="application/json")

    def _written(self, write: Callable[[dict[str, Description]], bytes], models: dict[str, Description]) -> bytes:
        """Return the document of all models, or of those of which there can be one."""
        try:
            return write(models)
        except Exception:  # what a model says of itself may be anything, and is not to cost the others their document
            return write({name: model for name, model in models.items() if _can_be_written(write, name, model)})

    def _write(self, build: Callable[..., Mapping[str, Any]], models: dict[str, Description]) -> bytes:
        return orjson.dumps(build(**self._about(models)))

    def _about(self, models: dict[str, Description]) -> dict[str, Any]:
        jobs = {name: self._published.operations(name) for name in models}
        return {"models": models, "title": self._settings.title, "version": __version__, "jobs": jobs}

    def _access(self) -> Access:
        limited = {name for name in self._published.fleet.deployments if self._settings.of(name).rate_limit}
        return Access(self._published.public, frozenset(limited))


def _can_be_written(write: Callable[[dict[str, Description]], bytes], name: str, model: Description) -> bool:
    try:
        write({name: model})
    except Exception:
        logger.warning(
            "the model's description cannot be written out, so no document has it",
            extra={"deployment": name},
            exc_info=True,
        )
        return False
    return True
