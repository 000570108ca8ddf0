"""GET /v2/models/ and /v2/models/{name}/: what each deployment is and how it does."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from modelserve.errors import NotFound
from modelserve.messages import AS_GIVEN
from modelserve.runtime.fleet import Deployment
from modelserve.web.proxies import prefix_of
from modelserve.web.published import Published
from modelserve.web.responses import json_response

__all__ = ["Models"]

RELOAD_FAILED = "The last reload failed, so the version before it serves on. The server's log says why."


class Models:
    """The listing of every deployment, failed ones included."""

    def __init__(self, published: Published, base_path: str) -> None:
        self._published = published
        self._fleet = published.fleet
        self._base_path = base_path

    async def list(self, request: web.Request) -> web.Response:
        """Answer with all that the client may call."""
        base = prefix_of(request) + self._base_path
        return json_response({"models": [self._show(deployment, base) for deployment in self._published.seen(request)]})

    async def get(self, request: web.Request) -> web.Response:
        """Answer with one."""
        base = prefix_of(request) + self._base_path
        return json_response(self._show(self._fleet.find(request.match_info["name"]), base))

    async def unknown(self, request: web.Request) -> web.Response:
        """Answer a request for a model that is not here.

        Raises:
            NotFound: Always; the models that are here have routes of their own.
        """
        raise NotFound(f"There is no model of that name here; GET {self._base_path}/v2/models/ lists those there are.")

    def _show(self, deployment: Deployment, base: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": deployment.name, "name": deployment.name, "description": ""}
        links = [{"rel": "self", "href": f"{base}/v2/models/{deployment.name}/"}]
        if deployment.description is not None:
            shown = msgspec.to_builtins(deployment.description.metadata)
            others = shown.pop("others")
            shown = others | shown | {key: others[key] for key in AS_GIVEN if key in others}
            if "predict" in deployment.description.implements:
                links.append({"rel": "predict", "href": f"{base}/v2/models/{deployment.name}/predict/"})
            if "train" in self._published.operations(deployment.name):
                links.append({"rel": "train", "href": f"{base}/v2/models/{deployment.name}/train/"})
        own = shown.get("links", [])
        shown |= {"links": links + own, "status": deployment.status.value}
        if message := _message(deployment):
            shown["message"] = message
        return shown


def _message(deployment: Deployment) -> str:
    """Return what a client may know of what is wrong; process ids and tracebacks are for the operator only."""
    reload = deployment.last_reload
    return deployment.message or (RELOAD_FAILED if reload is not None and not reload.ok else "")
