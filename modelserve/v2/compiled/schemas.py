"""A whole schema as one function.

schema --> compile_schema --> load(value) --> the value loaded, or REFUSED
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import webargs.fields
from marshmallow import EXCLUDE, INCLUDE, RAISE, Schema, missing
from marshmallow import fields as ma_fields

from modelserve.v2 import lists
from modelserve.v2.compiled.authors import require_own_field, require_own_schema
from modelserve.v2.compiled.containers import CONTAINERS, load_each
from modelserve.v2.compiled.refusal import REFUSED, Check, NotCompiled, Refused
from modelserve.v2.compiled.rules import with_rules
from modelserve.v2.compiled.scalars import SCALARS, SENT_SCALARS
from modelserve.v2.reading import wire_name

__all__ = ["MUTABLE", "Load", "anew", "compile_schema"]

Load = Callable[[Any], Any]

# Defaults of these types are given to each call anew.
MUTABLE = frozenset({list, dict, set})

# Schemas inside schemas; one that holds itself is found sooner, unless it is made anew each time.
MAX_DEPTH = 16

_DELIMITED = (webargs.fields.DelimitedList, webargs.fields.DelimitedTuple)
_NESTED = (lists.Nested, ma_fields.Nested, webargs.fields.Nested)

logger = logging.getLogger(__name__)


def compile_schema(schema: Schema, unknown: str | None = None, *, sent: bool = False) -> Load | None:
    """Return what loads plainly valid values as ``schema.load`` would; None where only marshmallow can load.

    The schema is read once: what is changed in it afterwards counts no more.

    Args:
        schema: Any schema.
        unknown: What an undeclared key does, as in ``schema.load``; None leaves it to the schema.
        sent: Whether to refuse what the schema would load, and not dump the same: ``"3"`` for an Int, an absent field
            that has a ``dump_default``, keys that it excludes.

    Returns:
        A function that takes a value and gives an equal one of equal types, keys in the same order, as ``load`` would;
        REFUSED where ``load`` might raise, or where it is not known what it gives. It raises nothing.
    """
    try:
        load = _Compiler(sent).schema(schema, unknown).load
    except NotCompiled as reason:
        logger.debug("%s is left to marshmallow: %s", type(schema).__name__, reason)
        return None
    except Exception as error:  # a nested schema that cannot be made; marshmallow says so when it needs it
        logger.debug("%s is left to marshmallow: %r", type(schema).__name__, error)
        return None

    def load_or_refuse(value: Any) -> Any:
        try:
            return load(value)
        except Exception:
            return REFUSED

    return load_or_refuse


class _Compiler:
    """Compiles one schema with all that is in it; knows which schemas it is in."""

    def __init__(self, sent: bool = False) -> None:
        self._within: list[type[Schema]] = []
        self._sent = sent
        self._scalars = SENT_SCALARS if sent else SCALARS

    def schema(self, schema: Schema, unknown: str | None) -> Check:
        kind = type(schema)
        if kind in self._within or len(self._within) == MAX_DEPTH:
            raise NotCompiled(f"{kind.__name__} holds itself, or is nested too deeply")
        require_own_schema(schema, dumps=self._sent)
        self._within.append(kind)
        rows = tuple(self._row(name, field) for name, field in schema.load_fields.items())
        self._within.pop()
        rule = schema.unknown if unknown is None else unknown
        check = Check(_mapping(rows, RAISE if self._sent and rule == EXCLUDE else rule))
        return _many(check) if schema.many else check

    def field(self, field: Any) -> Check:
        kind = type(field)
        require_own_field(field)
        if kind in self._scalars:
            return self._scalars[kind](field)
        if kind in CONTAINERS:  # items of one text are texts, and loaded as such
            return CONTAINERS[kind](field, _Compiler().field if issubclass(kind, _DELIMITED) else self.field)
        if kind in _NESTED:
            return self._nested(field)
        raise NotCompiled(f"a field is of type {kind.__module__}.{kind.__qualname__}")

    def _nested(self, field: Any) -> Check:
        schema = field.schema
        if field.many and not schema.many:  # marshmallow 3 then loads one from what must be a list
            raise NotCompiled("a nested schema has another many than its field")
        return with_rules(field, self.schema(schema, field.unknown))

    def _row(self, name: str, field: Any) -> _Row:
        key = field.attribute or name
        if "." in key:
            raise NotCompiled("an attribute is a path")
        check = self.field(field)
        if not self._sent:
            return _Row(wire_name(name, field), key, check.kept, check.load, _absent(field))
        if field.load_only:
            raise NotCompiled("a field is load_only")
        always = field.required or field.dump_default is not missing or type(field) is ma_fields.Constant
        return _Row(wire_name(name, field), key, check.kept, check.load, _raise_refused if always else None)


class _Row(NamedTuple):
    """A field: its name in the data, its key in the result, its check, and what gives its value where it is absent."""

    name: str
    key: str
    kept: type | None
    load: Callable[[Any], Any]
    absent: Callable[[], Any] | None


def _absent(field: Any) -> Callable[[], Any] | None:
    default = field.load_default
    if field.required:
        return _raise_refused
    if callable(default):
        return default  # type: ignore[no-any-return]
    return None if default is missing else anew(default)


def anew(default: Any) -> Callable[[], Any]:
    """Return what gives a default for each call: its own, where a model could change it and the next call see that."""
    if type(default) in MUTABLE:
        return partial(copy.deepcopy, default) if default else type(default)
    return lambda: default


def _raise_refused() -> Any:
    raise Refused


def _mapping(rows: tuple[_Row, ...], unknown: str) -> Load:
    names = {row.name for row in rows}
    if len(names) < len(rows) or unknown not in (RAISE, EXCLUDE, INCLUDE):
        raise NotCompiled("two fields have one name, or unknown is none of the three words")

    def load(data: Any) -> dict[Any, Any]:
        if type(data) is not dict:
            raise Refused
        loaded: dict[Any, Any] = {}
        given = 0
        for name, key, kept, load_value, absent in rows:
            value = data.get(name, missing)
            if value is missing:
                if absent is not None and (default := absent()) is not missing:
                    loaded[key] = default
            else:
                given += 1
                loaded[key] = value if type(value) is kept else load_value(value)
        if given != len(data) and unknown != EXCLUDE:
            if unknown == RAISE:
                raise Refused
            # written as in marshmallow: the order of a set is what it is
            for each in set(data) - names:
                loaded[each] = data[each]
        return loaded

    return load


def _many(check: Check) -> Check:
    load_all = load_each(check)

    def load(value: Any) -> list[Any]:
        if type(value) is not list:
            raise Refused
        return load_all(value)

    return Check(load)
