"""What a model says about itself, checked and completed.

get_metadata(), and the distribution's own metadata --> read_metadata(...) --> Metadata, or ContractError
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from modelserve.errors import ContractError
from modelserve.messages import Metadata
from modelserve.v2.model import BaseModel, provides

__all__ = ["read_metadata"]

logger = logging.getLogger(__name__)

_REQUIRED = ("name", "description")
_FROM_DISTRIBUTION = ("license", "author", "version", "url")
_KEYS = ("id", *_REQUIRED, *_FROM_DISTRIBUTION, "links")
# "" is a path on this server. Anything else, javascript: before all, has no place in a page's link.
_SCHEMES = ("", "http", "https", "mailto")


def read_metadata(model: Any, *, name: str, distribution: Mapping[str, str]) -> Metadata:
    """Return a model's metadata, calling its ``get_metadata`` if it has one.

    Args:
        model: The model.
        name: Its deployment's name, the default for ``id``.
        distribution: ``license``, ``author``, ``version``, ``url`` and ``summary`` of the package it came in, as known.

    Raises:
        ContractError: A required key is missing or empty, or a value is no text; the message names the key.
        Exception: What ``get_metadata`` raises.
    """
    given = model.get_metadata() if provides(model, "get_metadata") else _unsaid(model, name, distribution)
    if not isinstance(given, Mapping):
        raise ContractError(f"get_metadata() returned a {type(given).__name__}; it must return a dict.")
    _warn_of_unknown(given)
    defaults = {"id": name, **{key: distribution.get(key, "") for key in _FROM_DISTRIBUTION}}
    texts: dict[str, Any] = {key: _text(given, key) or defaults.get(key, "") for key in (*defaults, *_REQUIRED)}
    for key in _REQUIRED:
        if not texts[key].strip():
            raise ContractError(f"get_metadata() has no {key!r}; it must be a text that is not empty.")
    texts["url"] = texts["url"] if _is_safe(texts["url"]) else ""
    return Metadata(**texts, links=_links(given.get("links")))


def _unsaid(model: Any, name: str, distribution: Mapping[str, str]) -> dict[str, str]:
    """Return the required keys for a model without ``get_metadata``."""
    return {"name": name, "description": _first_line(model) or distribution.get("summary", "") or name}


def _first_line(model: Any) -> str:
    described = model if isinstance(model, ModuleType | type) else type(model)
    if described is BaseModel or getattr(described, "__module__", "") in ("builtins", "types"):
        return ""
    lines = (described.__doc__ or "").strip().splitlines()
    return lines[0].strip() if lines else ""


def _warn_of_unknown(given: Mapping[Any, Any]) -> None:
    unknown = [str(key) for key in given if key not in _KEYS]
    if unknown:
        logger.warning("get_metadata() has keys that are not used: %s", ", ".join(sorted(unknown)))


def _text(given: Mapping[Any, Any], key: str) -> str:
    value = given.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ContractError(f"get_metadata()[{key!r}] is a {type(value).__name__}; it must be a text.")
    return _sendable(str(value))


def _sendable(text: str) -> str:
    """Return a text without the lone surrogates that no encoding holds."""
    return text.encode(errors="replace").decode()


def _links(given: Any) -> list[dict[str, str]]:
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise ContractError('get_metadata()["links"] must be a list of {"rel": ..., "href": ...}.')
    links = [_link(link, index) for index, link in enumerate(given)]
    return [link for link in links if _is_safe(link["href"])]


def _link(link: Any, index: int) -> dict[str, str]:
    for key in ("rel", "href"):
        if not isinstance(link, Mapping) or not isinstance(link.get(key), str):
            raise ContractError(f'get_metadata()["links"][{index}] has no text under {key!r}.')
    return {key: _sendable(link[key]) for key in ("rel", "href")}


def _is_safe(url: str) -> bool:
    try:
        safe = urlsplit(url.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        safe = False
    if not safe:
        logger.warning("get_metadata() has a link that is left out, as it is neither http(s) nor a path: %r", url)
    return safe
