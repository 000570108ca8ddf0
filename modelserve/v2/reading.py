"""How each declared argument is read from a call: from which place, as file or text, one or many, as JSON or not.

    field of the schema --> Reading

A reading depends on the declaration alone, so there is one per argument, made when the model is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from marshmallow import fields as ma_fields
from marshmallow import validate

from modelserve.errors import ContractError
from modelserve.v2.fields import Field, NDArray, file_rule

__all__ = ["Meaning", "Reading", "header_names", "location_of", "reading_of", "wire_name"]

# What authors write, as webargs and DEEPaaS name the places, and the place that is meant; "" is anywhere but headers.
_LOCATIONS = {
    "": "",
    "query": "query",
    "querystring": "query",
    "form": "form",
    "files": "form",
    "json": "json",
    "headers": "headers",
}


def wire_name(name: str, field: Field) -> str:  # type: ignore[type-arg]
    """Return the name by which clients give a field: its ``data_key`` where it has one."""
    return name if field.data_key is None else field.data_key


def location_of(field: Field) -> str:  # type: ignore[type-arg]
    """Return the only place a field is read from: "query", "form", "json", "headers", or "" for all but headers.

    Raises:
        ContractError: ``metadata["location"]`` names no such place.
    """
    said = field.metadata.get("location") or ""
    if said not in _LOCATIONS:
        known = ", ".join(name for name in _LOCATIONS if name)
        raise ContractError(f"A field's location is {said!r}; it must be one of {known}.")
    return _LOCATIONS[said]


def header_names(name: str) -> tuple[str, ...]:
    """Return the lower-case headers that an argument is read from, the first that is there wins.

    Proxies drop headers with an underscore, so ``x_token`` is read from ``X-Token`` as well.
    """
    lower = name.lower()
    dashed = lower.replace("_", "-")
    return (dashed,) if dashed == lower else (dashed, lower)


# Fields that take every value as it is.
_UNREAD = (ma_fields.Raw, ma_fields.Field)

# Formats of a DateTime in which an offset may stand.
_ISO = (None, "iso", "iso8601")

Meaning = Literal["text", "value", "json", "moment"]
"""What a text stands for: itself, a value that is no text where it reads as one (a number, say), JSON, or a moment."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one argument is read.

    ``name`` is on the wire and ``location`` as :func:`location_of`. ``file`` and ``text`` say what may be given;
    ``shape`` whether that is one value, a list of them or an array; ``meanings`` what the texts stand for, the last of
    them from there on; ``whole`` whether one text may hold the JSON of the whole list; ``nested`` whether its items are
    lists themselves.
    """

    name: str
    location: str
    file: bool = False
    text: bool = True
    shape: Literal["one", "list", "array", "vector"] = "one"
    meanings: tuple[Meaning, ...] = ("text",)
    whole: bool = False
    nested: bool = False


def reading_of(name: str, field: Field) -> Reading:  # type: ignore[type-arg]
    """Return how a field is read under its wire name.

    Raises:
        ValueError: ``metadata["location"]`` names no place.
    """
    location = location_of(field)
    rule = file_rule(field)
    if rule is not None:
        return Reading(name, location, file=True, text=False, shape="list" if rule.many else "one")
    if isinstance(field, NDArray):
        return Reading(name, location, file=True, shape="vector" if len(field.wanted.shape or ()) == 1 else "array")
    if not _is_many(field):
        return Reading(name, location, meanings=(_meaning(field),))
    items = _items(field)
    every = all if isinstance(field, ma_fields.Tuple) else any  # a text that is a list is an item only among lists
    return Reading(
        name,
        location,
        shape="list",
        meanings=tuple("json" if _is_many(item) else _meaning(item) for item in items) or ("text",),
        whole=any(not isinstance(item, ma_fields.String) for item in items),
        nested=bool(items) and every(_is_many(item) for item in items),
    )


def _is_many(field: Field) -> bool:  # type: ignore[type-arg]
    said = getattr(field, "is_multiple", None)
    if said is not None:
        return bool(said)
    if isinstance(field, ma_fields.Nested):
        return bool(field.many or field.schema.many)
    return isinstance(field, ma_fields.List | ma_fields.Tuple)


def _meaning(field: Field) -> Meaning:  # type: ignore[type-arg]
    if isinstance(field, ma_fields.Pluck):
        return _meaning(_plucked(field))
    if isinstance(field, ma_fields.Nested | ma_fields.Mapping | NDArray):
        return "json"
    if isinstance(field, ma_fields.DateTime) and field.OBJ_TYPE == "datetime":  # dates and times are ones too
        return "moment" if field.format in _ISO else "text"
    return "value" if _takes_no_text(field) else "text"


def _takes_no_text(field: Field) -> bool:  # type: ignore[type-arg]
    """Tell whether a field takes a number, or another value, and no text for one; all else than JSON gives texts."""
    if isinstance(field, ma_fields.Integer):
        return field.strict
    if isinstance(field, ma_fields.Boolean):
        return _are_values(field.truthy | field.falsy)
    if isinstance(field, ma_fields.Enum) and field.by_value:
        is_raw = type(field.field) in _UNREAD
        return _are_values([each.value for each in field.enum]) if is_raw else _takes_no_text(field.field)
    return type(field) in _UNREAD and _are_values([each for rule in field.validators for each in _choices(rule)])


def _choices(rule: Any) -> list[Any]:
    if type(rule) is validate.Equal:
        return [rule.comparable]
    return list(rule.choices) if type(rule) is validate.OneOf and isinstance(rule.choices, list | tuple) else []


def _are_values(choices: Collection[Any]) -> bool:
    """Tell whether some choices are no texts, and no text among the others would be read as another value."""
    return any(not isinstance(each, str) for each in choices) and not any(map(_reads_as_value, choices))


def _reads_as_value(choice: Any) -> bool:
    if not isinstance(choice, str):
        return False
    try:
        return not isinstance(json.loads(choice), list | dict)
    except ValueError:
        return False


def _plucked(field: ma_fields.Pluck) -> Field:  # type: ignore[type-arg]
    found: Any = field.schema.fields[field.field_name]
    return found  # type: ignore[no-any-return]


def _items(field: Field) -> list[Field]:  # type: ignore[type-arg]
    """Return the fields of a list's items; those of ``Nested(many=True)`` are objects, as a Dict's are."""
    if isinstance(field, ma_fields.List):
        return [field.inner]
    if isinstance(field, ma_fields.Tuple):
        return list(field.tuple_fields)
    if isinstance(field, ma_fields.Pluck):
        return [_plucked(field)]
    return [ma_fields.Dict()] if isinstance(field, ma_fields.Nested) else []
