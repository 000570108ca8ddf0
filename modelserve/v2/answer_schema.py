"""The schema of a model's answers, as an instance of the renderer's own.

    what the model declares --> answer_schema(declared) --> a marshmallow Schema, or a ContractError

Its fields are copies, also those inside others: what is changed in them is not changed in the author's.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import marshmallow
from marshmallow import fields as ma_fields

from modelserve.errors import ContractError

__all__ = ["answer_schema"]


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
    return _for_answers(declared, frozenset())


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


def _for_answers(schema: marshmallow.Schema, above: frozenset[type]) -> marshmallow.Schema:
    made = copy(schema)
    within = above | {type(schema)}
    made.fields = {name: _own(field, within) for name, field in schema.fields.items() if not field.load_only}
    made.load_fields = made.fields
    return made


def _own(field: Any, above: frozenset[type]) -> Any:
    """Return a copy of a field; a schema that is nested in itself stays as it is there."""
    made = copy(field)
    vars(made).pop("_validated", None)  # how an argument's refuses fractions
    if isinstance(field, ma_fields.Nested):
        if type(field.schema) not in above:
            made._schema = _for_answers(field.schema, above)
    elif isinstance(field, ma_fields.List):
        made.inner = _own(field.inner, above)
    elif isinstance(field, ma_fields.Tuple):
        made.tuple_fields = [_own(each, above) for each in field.tuple_fields]
    elif isinstance(field, ma_fields.Mapping):
        made.key_field = field.key_field and _own(field.key_field, above)
        made.value_field = field.value_field and _own(field.value_field, above)
    return made
