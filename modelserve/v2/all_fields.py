"""Every field of a schema: its own, and those inside its lists, tuples, mappings, enums and nested schemas."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import marshmallow
from marshmallow import fields as ma_fields

__all__ = ["all_fields", "fields_inside"]

# Schemas that nest each other can be entered in more ways than anybody has time for.
MOST_SCHEMAS = 1000


def all_fields(schema: marshmallow.Schema) -> Iterator[Any]:
    """Yield each field; a schema that is nested in itself, at any depth, is not entered again there."""
    return _walk(schema.fields.values(), frozenset({type(schema)}))


def fields_inside(field: Any) -> Iterator[Any]:
    """Yield a field and each one inside it, as :func:`all_fields` does."""
    return _walk([field], frozenset())


def _walk(fields: Iterable[Any], within: frozenset[type]) -> Iterator[Any]:
    waiting = deque((field, within) for field in fields)
    entered = 0
    while waiting:
        field, above = waiting.popleft()
        yield field
        if isinstance(field, ma_fields.Nested):
            if type(field.schema) in above or entered == MOST_SCHEMAS:
                continue
            entered += 1
            above |= {type(field.schema)}
        waiting.extend((each, above) for each in _inside(field))


def _inside(field: Any) -> Iterator[Any]:
    if isinstance(field, ma_fields.Nested):
        yield from field.schema.fields.values()
    elif isinstance(field, ma_fields.List):
        yield field.inner
    elif isinstance(field, ma_fields.Tuple):
        yield from field.tuple_fields
    elif isinstance(field, ma_fields.Enum):
        yield field.field
    elif isinstance(field, ma_fields.Mapping):
        yield from (each for each in (field.key_field, field.value_field) if each is not None)
