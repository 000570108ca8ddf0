"""The schema of a model's answers, as an instance of the renderer's own.

    what the model declares --> answer_schema(declared) --> a marshmallow Schema, or a ContractError

Its fields are copies, also those inside others: what is changed in them is not changed in the author's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import copy
from typing import Any

import marshmallow
from marshmallow import fields as ma_fields

from modelserve.errors import ContractError

__all__ = ["answer_schema"]

# There is no end of them where each instance makes another for its fields.
MOST_SCHEMAS = 1000


def answer_schema(declared: Any) -> marshmallow.Schema | None:
    """Return a model's ``schema`` as an instance of the renderer's own, None for none.

    Fields marked ``dump_only`` are part of an answer, so here they are read like any other; those marked ``load_only``
    are not.

    Raises:
        ContractError: It is none of the forms that a schema may have.
    """
    if declared is None:
        return None
    if isinstance(declared, Mapping):
        declared = _from_fields(declared)
    declared = declared() if isinstance(declared, type) and issubclass(declared, marshmallow.Schema) else declared
    if not isinstance(declared, marshmallow.Schema):
        raise ContractError(
            f"schema is of type {type(declared).__name__}; it must be a dict of fields, a marshmallow Schema class "
            "or an instance of one, or None."
        )
    return _Copies().all_of(declared)


def _from_fields(declared: Mapping[Any, Any]) -> type[marshmallow.Schema]:
    if not declared:
        raise ContractError("schema is an empty dict; declare the fields of the answer, or None for no schema.")
    fields: dict[str, marshmallow.fields.Field] = {}  # type: ignore[type-arg, unused-ignore]  # generic in 4 only
    for name, field in declared.items():
        if not isinstance(name, str) or not isinstance(field, marshmallow.fields.Field):
            raise ContractError(f"schema[{name!r}] is {field!r}; it must be a field, such as fields.Int().")
        fields[name] = copy(field)
        fields[name].parent = fields[name].name = None  # it may come from another schema, to which it is bound
    return marshmallow.Schema.from_dict(fields, name="ModelPredictionResponse")


class _Copies:
    """Makes a copy of each schema once, so that one that is nested in itself is nested in its own copy."""

    def __init__(self) -> None:
        self._made: dict[Any, marshmallow.Schema] = {}
        self._waiting: deque[tuple[marshmallow.Schema, marshmallow.Schema]] = deque()

    def all_of(self, schema: marshmallow.Schema) -> marshmallow.Schema:
        """Return the copy of a schema, with those of all that are nested in it."""
        copied = self._of(schema, None)
        while self._waiting:
            schema, made = self._waiting.popleft()
            made.fields = {name: self._field(field) for name, field in schema.fields.items() if not field.load_only}
            made.load_fields = made.fields
        return copied

    def _of(self, schema: marshmallow.Schema, nested: Any) -> marshmallow.Schema:
        """Return the copy of a schema; ``nested`` is what the field was made with that it is nested in."""
        key = nested if isinstance(nested, str) else id(nested), type(schema), _options(schema)
        if key not in self._made and len(self._made) < MOST_SCHEMAS:
            self._made[key] = copy(schema)
            self._waiting.append((schema, self._made[key]))
        return self._made.get(key, schema)

    def _field(self, field: Any) -> Any:
        made = copy(field)
        vars(made).pop("_validated", None)  # how an argument's refuses fractions
        if isinstance(field, ma_fields.Nested):
            made._schema = self._of(field.schema, field.nested)
        elif isinstance(field, ma_fields.List):
            made.inner = self._field(field.inner)
        elif isinstance(field, ma_fields.Tuple):
            made.tuple_fields = [self._field(each) for each in field.tuple_fields]
        elif isinstance(field, ma_fields.Mapping):
            made.key_field = field.key_field and self._field(field.key_field)
            made.value_field = field.value_field and self._field(field.value_field)
        return made


def _options(schema: marshmallow.Schema) -> tuple[Any, ...]:
    """Return what makes two instances of a schema differ: of names with a dot, marshmallow tells the fields."""
    inside = ((name, _names(field)) for name, field in schema.declared_fields.items())
    return (_names(schema), schema.many, schema.unknown, *inside)


def _names(limited: Any) -> tuple[frozenset[str] | None, ...]:
    found = (getattr(limited, each, None) for each in ("only", "exclude", "load_only", "dump_only"))
    return tuple(None if each is None or isinstance(each, bool) else frozenset(each) for each in found)
