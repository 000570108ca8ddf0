"""What apispec says of a field, corrected to what the field takes.

    apispec's schema of a field, the field --> correct(...) --> the schema of what a client may send

apispec tells a list of what is one text with separators, a date of what has a format of its own, and nothing of tuples.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import marshmallow
import webargs.fields
from marshmallow import fields as ma_fields

from modelserve.v2.all_fields import all_fields
from modelserve.v2.fields import Field, NDArray

__all__ = ["allows_nan", "correct", "with_null"]

_OF_LISTS = ("items", "minItems", "maxItems", "uniqueItems", "enum")
_DELIMITED = (webargs.fields.DelimitedList, webargs.fields.DelimitedTuple)
# Formats of dates that marshmallow has names for, and that apispec tells right.
_NAMED = {None, "iso", "iso8601", "rfc", "rfc822", "timestamp", "timestamp_ms"}
_WHOLE_NUMBER = "^-?[0-9]+$"

Schema = dict[str, Any]


def correct(told: Schema, field: Field, schema_of: Callable[[Field], Schema]) -> None:  # type: ignore[type-arg]
    """Correct a field's schema in its place.

    Args:
        told: What apispec says.
        field: The field.
        schema_of: Returns the schema of a field in it.
    """
    if isinstance(field, _DELIMITED):
        _as_text(told, f"Values separated by {field.delimiter!r}.", *_OF_LISTS)
    elif isinstance(field, ma_fields.Tuple):
        several = [schema_of(each) for each in field.tuple_fields]
        told |= {"type": "array", "prefixItems": several, "minItems": len(several), "maxItems": len(several)}
    elif isinstance(field, ma_fields.DateTime | ma_fields.Time | ma_fields.Date):
        _tell_of_date(told, field)
    elif isinstance(field, ma_fields.IPInterface):
        told["type"] = "string"
    elif isinstance(field, ma_fields.Constant):
        told["const"] = field.constant
    elif isinstance(field, ma_fields.Dict) and field.key_field is not None:
        _tell_of_keys(told, field.key_field, schema_of)


def _as_text(told: Schema, sentence: str, *left_out: str) -> None:
    for key in left_out:
        told.pop(key, None)
    kinds = told.get("type")
    told["type"] = ["string", "null"] if isinstance(kinds, list) and "null" in kinds else "string"
    told["description"] = " ".join(filter(None, (told.get("description", ""), sentence)))


def _tell_of_date(told: Schema, field: Any) -> None:
    if field.format not in _NAMED:
        _as_text(told, f"Written as {field.format}.", "format")
    elif isinstance(field, ma_fields.NaiveDateTime) and field.timezone is None:
        _as_text(told, "Without a time zone, such as 2026-05-01T12:30:00.", "format")
    elif told.get("type") == "number":
        told.pop("example", None)  # apispec's is a text


def _tell_of_keys(told: Schema, keys: Field, schema_of: Callable[[Field], Schema]) -> None:  # type: ignore[type-arg]
    if isinstance(keys, ma_fields.Integer):
        told["propertyNames"] = {"pattern": _WHOLE_NUMBER}
        return
    schema = schema_of(keys)
    if isinstance(keys, ma_fields.Enum) and not keys.by_value:
        schema = {"enum": [each.name for each in keys.enum if isinstance(each, enum.Enum)]}
    if schema.get("type", "string") == "string":
        names = {key: schema[key] for key in ("enum", "pattern", "format", "minLength", "maxLength") if key in schema}
        if names:
            told["propertyNames"] = names


def with_null(told: Schema, field: Field) -> None:  # type: ignore[type-arg]
    """Say of a field of an answer, in its place, that null is sent for NaN, where the field allows that."""
    if isinstance(field, NDArray) and field.wanted.allow_nan:
        for choice in told.get("anyOf", ()):
            _numbers_or_null(choice)
    elif isinstance(field, ma_fields.Float | ma_fields.Decimal) and field.allow_nan:
        _numbers_or_null(told)


def _numbers_or_null(told: Schema) -> None:
    while isinstance(told.get("items"), dict):
        told = told["items"]
    kinds = told.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "number" in kinds and "null" not in kinds:
        told["type"] = [*kinds, "null"]


def allows_nan(schema: marshmallow.Schema) -> bool:
    """Tell whether NaN may stand anywhere in what a schema describes."""
    return any(map(_allows_nan, all_fields(schema)))


def _allows_nan(field: Any) -> bool:
    return bool(getattr(field, "allow_nan", False)) or (isinstance(field, NDArray) and field.wanted.allow_nan)
