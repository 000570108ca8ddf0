"""Has arguments that are whole numbers refuse a number with a fraction, of which marshmallow drops the fraction.

Int() <- 3, "3", 3.0 -> 3        Int() <- 30.9 -> 422        Int(strict=True) <- 3.0, "3" -> 422, as in marshmallow

A time, a duration and an enum's value that are numbers refuse true and false too, which Python counts as 1 and 0, and a
duration in whole units (marshmallow 3) a fraction of one; a time and a duration also a number that no float can hold.
"""

from __future__ import annotations

from typing import Any

import marshmallow
from marshmallow import fields as ma_fields

from modelserve.v2.all_fields import all_fields

__all__ = ["refuse_fractions"]

# Fields whose values may be numbers, beside those that always are.
_NUMBERED = (ma_fields.DateTime, ma_fields.Enum, ma_fields.TimeDelta)


def refuse_fractions(schema: marshmallow.Schema) -> None:
    """Have a schema refuse them wherever it loads; a second time changes nothing."""
    fields = list(all_fields(schema))
    found = set(map(id, fields))
    for field in fields:
        if isinstance(field, ma_fields.Integer) and not isinstance(field._validated, _Whole):
            field._validated = _Whole(field)  # type: ignore[method-assign]
        elif isinstance(field, _NUMBERED) and not isinstance(field._deserialize, _Number):
            field._deserialize = _Number(field)  # type: ignore[method-assign]
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


class _Number:
    def __init__(self, field: Any) -> None:
        self._field = field
        self._deserialize = field._deserialize

    def __call__(self, value: Any, *args: Any, **options: Any) -> Any:
        try:
            loaded = self._deserialize(value, *args, **options)
        except OverflowError as error:  # an integer that no float holds
            raise self._refusal(value) from error
        is_truth = isinstance(value, bool) and not isinstance(getattr(loaded, "value", None), bool)
        if loaded is not None and (is_truth or self._is_cut(value)):
            raise self._refusal(value)
        return loaded

    def _refusal(self, value: Any) -> marshmallow.ValidationError:
        if isinstance(self._field, ma_fields.Enum):
            return self._field.make_error("unknown", choices=self._field.choices_text)
        # a DateTime's names its type
        return self._field.make_error("invalid", input=value, obj_type="number")  # type: ignore[no-any-return]

    def _is_cut(self, value: Any) -> bool:
        is_whole = getattr(self._field, "serialization_type", None) is int
        return is_whole and isinstance(value, float) and not value.is_integer()


class _Later:
    """Has a nested schema refuse fractions once it loads for the first time, and its field then load as ever."""

    def __init__(self, field: ma_fields.Nested) -> None:
        self._field = field

    def __call__(self, *args: Any, **options: Any) -> Any:
        refuse_fractions(self._field.schema)
        vars(self._field).pop("_load", None)
        return self._field._load(*args, **options)
