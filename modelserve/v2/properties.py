"""What a field's schema may say, in OpenAPI 3.1 and in Swagger 2.0: dicts in, dicts out.

    what apispec and an author's metadata say --> openapi(...) or swagger(...) --> only what is valid there
    swagger(...) --> parameter(...) --> a Swagger 2.0 parameter

Authors may put anything into a field's metadata; what is no JSON, or wrong under its key, is left out here, because one
wrong word makes the document of the whole server invalid.
"""

from __future__ import annotations

import decimal
import enum
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from modelserve.v2.plain import NotJsonError, to_plain

__all__ = ["json_safe", "openapi", "parameter", "swagger"]

_TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_PRIMITIVES = ("string", "number", "integer", "boolean")
_LARGEST = 2**63
# What only Python's regular expressions know; a browser refuses the whole pattern for it.
_PYTHON_ONLY = re.compile(r"\(\?[Paimsux#]|\\[AZ]")
# The Swagger 2.0 specification, "Schema Object" and "Parameter Object".
_SIZES = ("maxItems", "minItems", "uniqueItems")
_LIMITS = ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength")
_SHARED = ("type", "format", "default", "enum", "pattern", "items", "description", *_LIMITS, *_SIZES)
_SWAGGER = {*_SHARED, "$ref", "title", "allOf", "properties", "additionalProperties", "required", "readOnly", "example"}
_SWAGGER |= {"maxProperties", "minProperties"}
_AS_JSON = "Given as JSON text."
_COMPOUND = {"$ref", "type", "allOf", "anyOf", "oneOf", "properties", "items"}


def json_safe(value: Any) -> Any:
    """Return the value as JSON and msgpack hold it: what cannot be is left out of the dict that it stands in.

    Raises:
        NotJsonError: The value itself has no JSON form.
    """
    if isinstance(value, Mapping):
        return dict(_safe_items(value))
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    if isinstance(value, enum.Enum):
        return json_safe(value.value)
    if isinstance(value, decimal.Decimal):
        return json_safe(int(value) if value.is_finite() and value == value.to_integral_value() else float(value))
    plain = to_plain(value)
    if isinstance(plain, str):
        return plain.encode(errors="replace").decode()
    return float(plain) if isinstance(plain, int) and abs(plain) >= _LARGEST else plain


def _safe_items(mapping: Mapping[Any, Any]) -> Any:
    for key, value in mapping.items():
        try:
            yield str(json_safe(str(key))), json_safe(value)
        except (NotJsonError, OverflowError, RecursionError):
            continue


def openapi(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as OpenAPI 3.1 allows it."""
    given = json_safe(schema)
    if "example" in given:
        given.setdefault("examples", [given.pop("example")])
    if isinstance(given.get("examples"), dict):
        given["examples"] = list(given["examples"].values())
    if given.pop("nullable", False) and isinstance(given.get("type"), str):
        given["type"] = [given["type"], "null"]
    _set_bounds(given, as_number=True)
    return _inner(_checked(given), openapi)


def swagger(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as Swagger 2.0 allows it: one type, no alternatives (the first stands for all), no null."""
    given = json_safe(schema)
    for key in ("anyOf", "oneOf"):
        if isinstance(given.get(key), list) and given[key] and isinstance(given[key][0], dict):
            given = {**given[key][0], **given}
    kind = given.get("type")
    if isinstance(kind, list):
        given["type"] = next((each for each in kind if each != "null"), "string")
    if given.pop("nullable", False) or (isinstance(kind, list) and "null" in kind):
        given["x-nullable"] = True
    if given.get("type") == "array":
        given.setdefault("items", {})  # of a tuple's, each has a schema of its own
    if isinstance(given.get("enum"), list):
        given["enum"] = [each for each in given["enum"] if each is not None]
    _set_bounds(given, as_number=False)
    checked = _inner(_checked(given), swagger)
    kept = {key: value for key, value in checked.items() if key in _SWAGGER or key.startswith("x-")}
    return {key: value for key, value in kept.items() if key != "default" or value is not None}


def parameter(name: str, place: str, required: bool, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Swagger 2.0 parameter object, with "in" being query, formData or header.

    Args:
        name: The name on the wire.
        place: What stands under "in".
        required: Whether the argument must be given.
        schema: What :func:`swagger` returned, or ``{"type": "file"}``. What is neither a simple value nor a list of
            such becomes a text that holds JSON.
    """
    if not _is_simple(schema):
        schema = _as_json_text(schema) if schema.keys() & _COMPOUND else _as_any_text(schema)
    told = {"in": place, "name": name, "required": required}
    told |= {key: schema[key] for key in schema if key in _SHARED or key.startswith("x-")}
    if schema.get("type") == "array":
        told["items"] = {
            key: value for key, value in schema["items"].items() if key in _SHARED and key != "description"
        }
        # multi, a name repeated, is for query and form only; a header's list is one line
        told["collectionFormat"] = "csv" if place == "header" else "multi"
    if "example" in schema:
        told["x-example"] = schema["example"]
    return told


def _is_simple(schema: Mapping[str, Any]) -> bool:
    if schema.get("type") == "array":
        return schema.get("items", {}).get("type") in _PRIMITIVES
    return schema.get("type") in (*_PRIMITIVES, "file")


def _as_any_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a value of no one type, which is taken as the text it is, or as the choice it writes."""
    told = {**schema, "type": "string"}
    if "enum" in told:
        told["enum"] = [_text(each) for each in told["enum"]]
    if "default" in told:
        told["default"] = _text(told["default"])
    return told


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_json_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    description = " ".join(text for text in (schema.get("description", ""), _AS_JSON) if text)
    told: dict[str, Any] = {"type": "string", "description": description}
    for key in ("default", "example"):
        if key in schema:
            told[key] = json.dumps(schema[key])
    return told


def _set_bounds(given: dict[str, Any], *, as_number: bool) -> None:
    """Write exclusive limits as the version does: a number of its own in 3.1, a flag beside the limit in 2.0."""
    for limit in ("minimum", "maximum"):
        name = f"exclusive{limit.capitalize()}"
        exclusive = given.pop(name, None)
        if as_number and exclusive is True and limit in given:
            given[name] = given.pop(limit)
        elif as_number and _is_number(exclusive):
            given[name] = exclusive
        elif not as_number and _is_number(exclusive):
            given |= {limit: exclusive, name: True}
        elif not as_number and exclusive is True and limit in given:
            given[name] = True


def _inner(schema: dict[str, Any], convert: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    for key in ("items", "additionalProperties", "not", "propertyNames"):
        if isinstance(schema.get(key), dict):
            schema[key] = convert(schema[key])
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if key in schema:
            schema[key] = [convert(each) for each in schema[key] if isinstance(each, dict)]
    if "properties" in schema:
        schema["properties"] = {name: convert(each) for name, each in schema["properties"].items()}
    return schema


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key.startswith("x-") or _CHECKS.get(key, _never)(value)}
    if "type" not in kept and (kind := _type_of_choices(kept.get("enum", []))):
        kept = {"type": kind, **kept}
    if not _fits(kept.get("default"), kept.get("type")):
        del kept["default"]
    return kept


def _type_of_choices(choices: list[Any]) -> str:
    """Return the one type that all choices are of, "" where there is none; an Enum's values have no field's type."""
    kinds = {kind for choice in choices for kind in _PRIMITIVES if type(choice) is _TYPES[kind]}
    return kinds.pop() if len(kinds) == 1 and all(isinstance(choice, str | int) for choice in choices) else ""


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a default is of its schema's type, so far as that can be seen at once."""
    kinds = [kind] if isinstance(kind, str) else kind
    if value is None or not kinds:
        return True
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES[each]) for each in kinds)


def _never(value: Any) -> bool:
    return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) and _PYTHON_ONLY.search(value) is None


_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("$ref", "title", "description", "format", "contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), lambda value: _is_number(value) or value is True),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("enum", "examples", "allOf", "anyOf", "oneOf", "prefixItems", "required"), _is_list),
    **dict.fromkeys(("uniqueItems", "readOnly", "writeOnly", "deprecated"), _is_flag),
    **dict.fromkeys(("items", "properties", "not", "propertyNames"), _is_object),
    "additionalProperties": lambda value: isinstance(value, bool | dict),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "pattern": _is_pattern,
    "type": _is_type,
    "default": lambda value: True,
    "example": lambda value: True,
    "const": lambda value: True,
}
