"""Has arguments that are whole numbers refuse a number with a fraction, of which marshmallow drops the fraction.

Int() <- 3, "3", 3.0 -> 3        Int() <- 30.9 -> 422        Int(strict=True) <- 3.0, "3" -> 422, as in marshmallow
"""

from __future__ import annotations

from typing import Any

import marshmallow
from marshmallow import fields as ma_fields

from modelserve.v2.all_fields import all_fields

__all__ = ["refuse_fractions"]


def refuse_fractions(schema: marshmallow.Schema) -> None:
    """Have a schema refuse them wherever it loads; a second time changes nothing."""
    for field in all_fields(schema):
        if isinstance(field, ma_fields.Integer) and not isinstance(field._validated, _Whole):
            field._validated = _Whole(field)  # type: ignore[method-assign]


class _Whole:
    def __init__(self, field: ma_fields.Integer) -> None:
        self._make_error = field.make_error
        self._validated = field._validated

    def __call__(self, value: Any) -> Any:
        if isinstance(value, float) and not value.is_integer():
            raise self._make_error("invalid", input=value)
        return self._validated(value)
