"""Fields that hold other fields, but no schema, as checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import webargs.fields
from marshmallow import fields as ma_fields

from modelserve.v2 import lists
from modelserve.v2.compiled.refusal import Check, Refused
from modelserve.v2.compiled.rules import with_rules

__all__ = ["CONTAINERS", "load_each"]

Compile = Callable[[Any], Check]


def load_each(check: Check) -> Callable[[list[Any]], list[Any]]:
    """Return what loads all items of a list."""
    load = check.load
    return check.load_all or (lambda items: [load(item) for item in items])


def _list(field: Any, compile_field: Compile) -> Check:
    load_all = load_each(compile_field(field.inner))

    def load(value: Any) -> list[Any]:
        if type(value) is not list:
            raise Refused
        return load_all(value)

    return with_rules(field, Check(load))


def _delimited_list(field: Any, compile_field: Compile) -> Check:
    load_all = load_each(compile_field(field.inner))
    delimiter, empty = field.delimiter, field.empty_value

    def load(value: Any) -> list[Any]:
        if type(value) is not str:
            raise Refused
        return load_all([part or empty for part in value.split(delimiter)] if value else [])

    return with_rules(field, Check(load))


def _tuple(field: Any, compile_field: Compile) -> Check:
    loads = tuple(compile_field(each).load for each in field.tuple_fields)

    def load(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Refused
        # another length is a ValueError
        return tuple([load(item) for load, item in zip(loads, value, strict=True)])

    return with_rules(field, Check(load))


def _dict(field: Any, compile_field: Compile) -> Check:
    load_key, load_value = (
        _load_or_keep(field.key_field, compile_field),
        _load_or_keep(field.value_field, compile_field),
    )

    def load(value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise Refused
        return {load_key(key): load_value(item) for key, item in value.items()}

    def copy(value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise Refused
        return value.copy()

    return with_rules(field, Check(load if field.key_field or field.value_field else copy))


def _load_or_keep(field: Any, compile_field: Compile) -> Callable[[Any], Any]:
    return compile_field(field).load if field else lambda value: value


CONTAINERS: dict[type, Callable[[Any, Compile], Check]] = {
    ma_fields.Dict: _dict,
    ma_fields.List: _list,
    ma_fields.Tuple: _tuple,
    lists.DelimitedList: _delimited_list,
    lists.List: _list,
    webargs.fields.DelimitedList: _delimited_list,
}
"""By its exact type, how a field becomes a check, given how those inside become one."""
