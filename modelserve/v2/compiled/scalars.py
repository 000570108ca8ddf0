"""Fields that hold no other field, as checks.

Numbers and truth values are read from text too, since that is how a query string says them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import msgspec
from marshmallow import fields as ma_fields
from marshmallow import missing

from modelserve.v2.arrays import to_array
from modelserve.v2.compiled.refusal import Check, NotCompiled, Refused
from modelserve.v2.compiled.rules import require_known, with_rules
from modelserve.v2.dumping import is_sent_form
from modelserve.v2.fields import File, NDArray

__all__ = ["SCALARS", "SENT_SCALARS"]


def _integer(field: Any, *, sent: bool = False) -> Check:
    strict = field.strict or sent

    def load(value: Any) -> int:
        if type(value) is int:
            return value
        if type(value) is str and not strict:
            return int(value)
        raise Refused

    return with_rules(field, _kept(int, load), ordered=True)


def _float(field: Any, *, sent: bool = False) -> Check:
    kinds = (float, int) if sent else (float, int, str)
    # marshmallow compares with False itself
    special = field.allow_nan is not False

    def load(value: Any) -> float:
        if type(value) not in kinds:
            raise Refused
        number = float(value)
        if special or isfinite(number):
            return number
        raise Refused

    if special:
        return with_rules(field, _kept(float, load))
    load_all = _sent_floats(load) if sent else _floats(load)
    return with_rules(field, Check(load, None, load_all), ordered=True)


def _floats(load: Callable[[Any], float]) -> Callable[[list[Any]], list[Any]]:
    def load_all(items: list[Any]) -> list[Any]:
        try:
            # in C: floats as they are, integers as floats, nothing else
            loaded = msgspec.convert(items, list[float])
        except msgspec.ValidationError:
            return [load(item) for item in items]
        # an infinity or NaN never leaves a sum again; finite numbers may add up to one
        if isfinite(sum(loaded)) or all(map(isfinite, loaded)):
            return loaded
        raise Refused

    return load_all


def _sent_floats(load: Callable[[Any], float]) -> Callable[[list[Any]], list[Any]]:
    def load_all(items: list[Any]) -> list[Any]:
        try:
            msgspec.convert(items, list[float])
            total = sum(items)
        except (msgspec.ValidationError, TypeError):
            return [load(item) for item in items]
        # msgspec takes a Decimal for a number too, which is written as text; no sum but theirs is one
        if not isinstance(total, float | int):
            return [load(item) for item in items]
        if isfinite(total) or all(map(isfinite, items)):
            return items
        raise Refused

    return load_all


def _kept(kind: type, load: Callable[[Any], Any]) -> Check:
    """Return the check of a type whose every value is valid."""
    only = {kind}

    def load_all(items: list[Any]) -> list[Any]:
        return items.copy() if only.issuperset(map(type, items)) else [load(item) for item in items]

    return Check(load, kind, load_all)


def _string(field: Any) -> Check:
    def load(value: Any) -> str:
        if type(value) is str:
            return value
        raise Refused

    return with_rules(field, _kept(str, load))


def _boolean(field: Any, *, sent: bool = False) -> Check:
    kinds = (bool,) if sent else (bool, int, str)
    truthy, falsy = field.truthy, field.falsy
    if not truthy:
        raise NotCompiled("a Boolean takes any value")

    def load(value: Any) -> bool:
        if type(value) in kinds:
            if value in truthy:
                return True
            if value in falsy:
                return False
        raise Refused

    as_they_are = True in truthy and False not in truthy and False in falsy
    return with_rules(field, _kept(bool, load) if as_they_are else Check(load))


def _raw(field: Any) -> Check:
    def load(value: Any) -> Any:
        if value is None or value is missing:
            raise Refused
        return value

    return with_rules(field, Check(load))


def _enum(field: Any, *, sent: bool = False) -> Check:
    if field.by_value is not False or type(field.enum) is not enum.EnumMeta:
        raise NotCompiled("an Enum by value, or with a metaclass of its own")
    # marshmallow 3 gives an attribute of that name, 4 the member: they are what this field gives
    own: Any = field.enum.__members__
    names = [name for name in own if not sent or name == own[name].name]
    members = {name: field._deserialize(name, None, None) for name in names}

    def load(value: Any) -> Any:
        if type(value) is str:
            return members[value]
        raise Refused

    return with_rules(field, Check(load))


def _by_itself(field: Any) -> Check:
    """Return the check of a field that is best asked itself: its rules are part of it, and it raises what it refuses.

    None of these fields looks at more than the value, so it gets the name and data that items of a list get.
    """
    require_known(field)
    return Check(field.deserialize)


def _array(field: Any) -> Check:
    wanted = field.wanted
    return with_rules(field, Check(lambda value: to_array(value, wanted)))


def _constant(field: Any) -> Check:
    if field.required:  # an error without a value in marshmallow 3, the constant in 4
        raise NotCompiled("a Constant is required")
    return _by_itself(field)


_ASKED = (
    ma_fields.AwareDateTime,
    ma_fields.Date,
    ma_fields.DateTime,
    ma_fields.Decimal,
    ma_fields.Email,
    ma_fields.IP,
    ma_fields.IPInterface,
    ma_fields.IPv4,
    ma_fields.IPv4Interface,
    ma_fields.IPv6,
    ma_fields.IPv6Interface,
    ma_fields.NaiveDateTime,
    ma_fields.Time,
    ma_fields.TimeDelta,
    ma_fields.UUID,
    ma_fields.Url,
    File,
)

SCALARS: dict[type, Callable[[Any], Check]] = {
    **dict.fromkeys(_ASKED, _by_itself),
    NDArray: _array,
    ma_fields.Boolean: _boolean,
    ma_fields.Constant: _constant,
    ma_fields.Enum: _enum,
    ma_fields.Field: _raw,  # DEEPaaS declares its files so
    ma_fields.Float: _float,
    ma_fields.Integer: _integer,
    ma_fields.Raw: _raw,
    ma_fields.String: _string,
}
"""By its exact type, how a field becomes a check; any of them raises NotCompiled where it cannot."""


def _unless_as_string(compiled: Callable[[Any], Check]) -> Callable[[Any], Check]:
    """Return a check for answers: of none where the field dumps numbers as text."""
    return lambda field: Check(_refuse) if field.as_string else compiled(field)


def _only(*kinds: type) -> Callable[[Any], Check]:
    """Return a check for answers of a field that is asked itself, about values of these types alone."""

    def sent(field: Any) -> Check:
        load = _by_itself(field).load

        def load_sent(value: Any) -> Any:
            if type(value) in kinds or value is None:
                return load(value)
            raise Refused

        return Check(load_sent)

    return sent


def _refuse(value: Any) -> Any:
    raise Refused


def _sent_as_loaded(field: Any) -> Check:
    require_known(field)

    def load(value: Any) -> Any:
        if value is None:
            return field.deserialize(value)
        if type(value) in (str, int, float) and is_sent_form(field, value):
            return value
        raise Refused

    return Check(load)


def _sent_array(field: Any) -> Check:
    load = _array(field).load

    def load_sent(value: Any) -> Any:
        if getattr(getattr(value, "dtype", None), "kind", "") == "c":
            raise Refused
        return load(value)

    return Check(load_sent)


def _sent_constant(field: Any) -> Check:
    constant = field.constant

    def load(value: Any) -> Any:
        if type(value) is type(constant) and value == constant:
            return value
        raise Refused

    _constant(field)
    return Check(load)


SENT_SCALARS: dict[type, Callable[[Any], Check]] = {
    **SCALARS,
    **dict.fromkeys(
        (
            *(ma_fields.AwareDateTime, ma_fields.Date, ma_fields.DateTime, ma_fields.NaiveDateTime, ma_fields.Time),
            *(ma_fields.TimeDelta, ma_fields.UUID),
        ),
        _sent_as_loaded,
    ),
    **dict.fromkeys((ma_fields.IP, ma_fields.IPv4, ma_fields.IPv6), _only(str)),
    **dict.fromkeys((ma_fields.IPInterface, ma_fields.IPv4Interface, ma_fields.IPv6Interface), _only(str)),
    NDArray: _sent_array,
    ma_fields.Boolean: partial(_boolean, sent=True),
    ma_fields.Constant: _sent_constant,
    ma_fields.Enum: partial(_enum, sent=True),
    ma_fields.Decimal: _unless_as_string(_only(int, float)),
    ma_fields.Float: _unless_as_string(partial(_float, sent=True)),
    ma_fields.Integer: _unless_as_string(partial(_integer, sent=True)),
}
"""The same for answers: what the field would load, and dump as something else, is refused too."""
