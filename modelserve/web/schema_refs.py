"""Carries the schemas of many models into one document: unique names, rewritten references, safe texts. No I/O.

model `digits`, component `Item`  ->  `digits.Item`, and `#/components/schemas/digits.Item` wherever it is referred to
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

__all__ = ["as_markdown", "home_page", "rewrite", "unique_names"]

Key = TypeVar("Key", bound=Hashable)

# Keys whose values are data, in which "$ref" or "description" has no meaning.
_DATA = frozenset({"const", "default", "enum", "example", "examples", "required"})

# Keys whose values map names of the author's choice to schemas.
_NAMED = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})

# Keys that would change what a reference means.
_DROPPED = frozenset({"$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$schema"})

# A code span or block, in which Markdown shows every character as it is, or the beginning of an HTML tag.
_CODE_OR_TAG = re.compile(r"(?P<code>(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))|<(?=[A-Za-z/!?])", re.DOTALL)


def unique_names(wanted: Mapping[Key, str], *, allowed: str = "A-Za-z0-9._-") -> dict[Key, str]:
    """Return a name for each key: the wanted one with other characters as ``_``, and a number where it is taken.

    Args:
        wanted: Keys to names; the first of two that come out equal keeps its own.
        allowed: The characters a name may hold, as the inside of a regular expression's set.
    """
    names: dict[Key, str] = {}
    taken: set[str] = set()
    for key, name in wanted.items():
        safe = re.sub(f"[^{allowed}]", "_", name) or "_"
        unique, count = safe, 1
        while unique in taken:
            count += 1
            unique = f"{safe}_{count}"
        taken.add(unique)
        names[key] = unique
    return names


def rewrite(schema: Any, refs: Mapping[str, str], *, text: Callable[[str], str] = str) -> Any:
    """Return a copy of a schema with every reference replaced by what ``refs`` has for it.

    Descriptions go through ``text``.
    A reference that ``refs`` does not know is left out: the pages would follow it, to another host if it says so.
    """
    if isinstance(schema, list):
        return [rewrite(item, refs, text=text) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _rewrite_value(key, value, refs, text)
        for key, value in schema.items()
        if key not in _DROPPED
        and not (key == "$ref" and value not in refs)
        and not (key == "format" and value == "date-time" and _has_naive_default(schema))
    }


def as_markdown(text: str) -> str:
    """Return plain or Markdown text in which HTML is shown instead of obeyed; code spans stay as they are."""
    return _CODE_OR_TAG.sub(lambda match: match["code"] or "&lt;", text)


def home_page(url: str) -> str:
    """Return the address if a browser may be sent there, else an empty text: ``javascript:`` is an address too."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_web = parts.scheme in ("http", "https") and parts.netloc and not re.search(r"[\s<>\"{}|\\^`\x00-\x1f]", url)
    return url if is_web else ""


def _has_naive_default(schema: Mapping[str, Any]) -> bool:
    # A model's naive time is no date-time of RFC 3339, which wants an offset, and would make the document invalid.
    default = schema.get("default")
    return isinstance(default, str) and not re.search(r"(?:[Zz]|[+-]\d\d:\d\d)$", default)


def _rewrite_value(key: str, value: Any, refs: Mapping[str, str], text: Callable[[str], str]) -> Any:
    if key == "$ref":
        return refs[value]
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: rewrite(item, refs, text=text) for name, item in value.items()}
    if key == "description" and isinstance(value, str):
        return text(value)
    return rewrite(value, refs, text=text)
