"""Adds to the two descriptions of a service what clients need: how they say who they are, and how they are refused.

    document -> which routes need a token, with the answers 401, 403 and 429

The builders of the documents know nothing of it. A server without clients has the documents as they were, but for the
rate limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from modelserve.web.routes_text import JSON, REQUEST_ID_TEXT, RETRY_AFTER_TEXT

__all__ = ["Access", "openapi_access", "swagger_access"]

# What no client needs a token for.
_OPEN = ("/healthz", "/readyz")
_ONE_MODEL = "/v2/models/{name}/"

TOKEN_TEXT = "A token of `modelserve clients add`."
BASIC_TEXT = "The client's name, and as the password a token of `modelserve clients add`."

_BEARER = "bearer"
_BASIC = "basic"
_EITHER: list[dict[str, list[str]]] = [{_BEARER: []}, {_BASIC: []}]

TEXTS = {
    401: "There is no token, or none that is valid.",
    403: "The client's role does not allow this.",
    429: "Too often: too many calls, or too many logins that failed.",
}


class Access(NamedTuple):
    """What a document says of it: the ``public`` deployments, None where there are no clients; those ``limited``."""

    public: frozenset[str] | None
    limited: frozenset[str]


def openapi_access(document: Mapping[str, Any], access: Access) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document with the access to it described."""
    added = dict(document)
    components = dict(added["components"])
    if statuses := _add_to_paths(added, access, "#/components/responses/"):
        made = {f"Error{status}": _openapi_response(status) for status in statuses}
        components["responses"] = {**components["responses"], **made}
    if access.public is not None:
        components["securitySchemes"] = {
            _BEARER: {"type": "http", "scheme": "bearer", "description": TOKEN_TEXT},
            _BASIC: {"type": "http", "scheme": "basic", "description": BASIC_TEXT},
        }
        added["security"] = _EITHER
    return added | {"components": components}


def swagger_access(document: Mapping[str, Any], access: Access) -> dict[str, Any]:
    """Return a Swagger 2.0 document with the access to it described; it has no word for a bearer of a token."""
    added = dict(document)
    if statuses := _add_to_paths(added, access, "#/responses/"):
        made = {f"Error{status}": _swagger_response(status) for status in statuses}
        added["responses"] = {**added["responses"], **made}
    if access.public is not None:
        text = f"`Bearer` and a token. {TOKEN_TEXT}"
        added["securityDefinitions"] = {
            _BEARER: {"type": "apiKey", "in": "header", "name": "Authorization", "description": text},
            _BASIC: {"type": "basic", "description": BASIC_TEXT},
        }
        added["security"] = _EITHER
    return added


def _add_to_paths(document: dict[str, Any], access: Access, refs: str) -> set[int]:
    """Put new paths into a document, and return the statuses that they speak of."""
    spoken: set[int] = set()
    paths: dict[str, Any] = {}
    for path, item in document["paths"].items():
        paths[path] = {}
        for method, operation in item.items():
            statuses = set(_refusals(path, method, access))
            more = {str(status): {"$ref": f"{refs}Error{status}"} for status in sorted(statuses)}
            own = {**operation, "responses": {**operation["responses"], **more}}
            paths[path][method] = own | _security(path, method, access)
            spoken |= statuses
    document["paths"] = paths
    return spoken


def _refusals(path: str, method: str, access: Access) -> Iterator[int]:
    if access.public is not None and path not in _OPEN:
        yield from TEXTS
    if method == "post" and any(path in _calls(name) for name in access.limited):
        yield 429


def _security(path: str, method: str, access: Access) -> dict[str, Any]:
    if access.public is None:
        return {}
    if path in _OPEN:
        return {"security": []}
    is_public = (path == _ONE_MODEL and access.public) or any(path == _calls(name)[0] for name in access.public)
    return {"security": [{}, *_EITHER]} if is_public and (method == "post" or path == _ONE_MODEL) else {}


def _calls(name: str) -> tuple[str, str]:
    """Return the paths of predict and train."""
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/predict/", f"{path}/train/"


def _headers(status: int) -> dict[str, tuple[str, str]]:
    """Return the name, the type and the text of each header."""
    found = {"X-Request-ID": ("string", REQUEST_ID_TEXT)}
    if status == 401:
        found["WWW-Authenticate"] = ("string", "How a token may be sent.")
    if status == 429:
        found["Retry-After"] = ("integer", RETRY_AFTER_TEXT)
    return found


def _openapi_response(status: int) -> dict[str, Any]:
    headers = {name: {"description": text, "schema": {"type": kind}} for name, (kind, text) in _headers(status).items()}
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": TEXTS[status], "headers": headers, "content": content}


def _swagger_response(status: int) -> dict[str, Any]:
    headers = {name: {"type": kind, "description": text} for name, (kind, text) in _headers(status).items()}
    return {"description": TEXTS[status], "headers": headers, "schema": {"$ref": "#/definitions/Error"}}
