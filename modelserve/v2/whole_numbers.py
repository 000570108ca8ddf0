"""Has arguments that are whole numbers refuse a number with a fraction, of which marshmallow drops the fraction.

Int() <- 3, "3", 3.0 -> 3        Int() <- 30.9 -> 422        Int(strict=True) <- 3.0, "3" -> 422, as in marshmallow

A duration and an enum's value that are numbers refuse true and false too, which Python counts as 1 and 0.
"""

from __future__ import annotations

from typing import Any

import marshmallow
from marshmallow import fields as ma_fields

from modelserve.v2.all_fields import all_fields

__all__ = ["refuse_fractions"]


def refuse_fractions(schema: marshmallow.Schema) -> None:
    """Have a schema refuse them wherever it loads; a second time changes nothing."""
    fields = list(all_fields(schema))
    found = set(map(id, fields))
    for field in fields:
        if isinstance(field, ma_fields.Integer) and not isinstance(field._validated, _Whole):
            field._validated = _Whole(field)  # type: ignore[method-assign]
        elif isinstance(field, ma_fields.TimeDelta | ma_fields.Enum) and not isinstance(field._deserialize, _NoTruth):
            field._deserialize = _NoTruth(field)  # type: ignore[method-assign]
        elif isinstance(field, ma_fields.Nested) and not found.issuperset(map(id, field.schema.fields.values())):
            field._load = _Later(field)  # type: ignore[method-assign]  # a schema inside itself: there is no end of them


class _Whole:
    def __init__(self, field: ma_fields.Integer) -> None:
        self._make_error = field.make_error
        self._validated = field._validated

    def __call__(self, value: Any) -> Any:
        if isinstance(value, float) and not value.is_integer():
            raise self._make_error("invalid", input=value)
        return self._validated(value)


class _NoTruth:
    def __init__(self, field: Any) -> None:
        self._field = field
        self._deserialize = field._deserialize

    def __call__(self, value: Any, *args: Any, **options: Any) -> Any:
        loaded = self._deserialize(value, *args, **options)
        if isinstance(value, bool) and loaded is not None and not isinstance(getattr(loaded, "value", None), bool):
            if isinstance(self._field, ma_fields.Enum):
                raise self._field.make_error("unknown", choices=self._field.choices_text)
            raise self._field.make_error("invalid", input=value)
        return loaded


class _Later:
    """Has a nested schema refuse fractions once it loads for the first time, and its field then load as ever."""

    def __init__(self, field: ma_fields.Nested) -> None:
        self._field = field

    def __call__(self, *args: Any, **options: Any) -> Any:
        refuse_fractions(self._field.schema)
        vars(self._field).pop("_load", None)
        return self._field._load(*args, **options)
