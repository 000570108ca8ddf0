"""What a model answered, in the form in which its schema is published.

    value --> dumped(schema, value) --> the same, with each member, date and number as the schema's field dumps it

A model may answer with what it works with (an enum's member, a datetime) or with what a client reads (its name, its
text): both become the latter. What a field cannot dump stays as it is, for the schema to refuse; unknown keys too. In
other words it is ``schema.dump`` that loses nothing and takes what was dumped before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import numbers
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import marshmallow
import orjson
import webargs.fields
from marshmallow import fields as ma_fields
from marshmallow.decorators import POST_DUMP, PRE_DUMP

from modelserve.v2.all_fields import all_fields
from modelserve.v2.fields import NDArray
from modelserve.v2.plain import NotJsonError, simpler, to_plain
from modelserve.v2.reading import wire_name

__all__ = ["dumped", "has_two_forms", "is_sent_form"]

_DATES = (ma_fields.DateTime, ma_fields.Time, ma_fields.Date)
_COMPUTED = (ma_fields.Function, ma_fields.Method)
_DELIMITED = (webargs.fields.DelimitedList, webargs.fields.DelimitedTuple)
_ISO = (None, "iso", "iso8601")
# RFC 3339, which "format": "date-time" means, and the same without a zone.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
# Items of these types, and arrays of these kinds, are what such fields dump.
_READY_TYPES: dict[type, frozenset[type]] = {
    ma_fields.Boolean: frozenset({bool}),
    ma_fields.Float: frozenset({int, float}),
    ma_fields.Integer: frozenset({int}),
    ma_fields.Raw: frozenset({bool, int, float, str, type(None)}),
    ma_fields.String: frozenset({str}),
}
_READY_KINDS: dict[type, str] = {
    ma_fields.Boolean: "b",
    ma_fields.Float: "iuf",
    ma_fields.Integer: "iu",
    ma_fields.Raw: "biuf",
}
_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Interface, ipaddress.IPv6Interface)
_JSON_TYPES = frozenset({type(None), bool, int, float, str, list, dict, orjson.Fragment})
_OURS = ("marshmallow.", "webargs.", "modelserve.")


def has_two_forms(schema: marshmallow.Schema) -> bool:
    """Tell whether the text of a value may look like what a field dumps, and be another: of enums and of formats."""
    return any(map(_has_two_forms, all_fields(schema)))


def _has_two_forms(field: Any) -> bool:
    if isinstance(field, _DATES):
        return field.format not in _ISO
    return isinstance(field, ma_fields.Enum) or bool(getattr(field, "exploded", False))


def is_sent_form(field: Any, value: Any) -> bool:
    """Tell whether a value that a date, a UUID or the like has loaded is what the field would dump.

    Raises:
        Exception: As the field's ``deserialize``.
    """
    loaded = field.deserialize(value)
    return _is_date_time(field, value) or bool(field._serialize(loaded, None, None) == value)


def dumped(schema: marshmallow.Schema, value: Any, *, many: bool | None = None, unknown: str | None = None) -> Any:
    """Return a model's answer as the schema dumps it.

    Raises:
        Exception: What a function, method or hook of the schema raises.
    """
    many = bool(schema.many) if many is None else many
    original = value
    if schema._hooks.get(PRE_DUMP):
        value = schema._invoke_dump_processors(PRE_DUMP, value, many=many, original_data=original)
    rule = unknown or schema.unknown
    if many:
        items = _items_of(value)
        made = value if items is None else [_object(schema, each, rule) for each in items]
    else:
        made = _object(schema, value, rule)
    if schema._hooks.get(POST_DUMP):
        made = schema._invoke_dump_processors(POST_DUMP, made, many=many, original_data=original)
    return made


def _object(schema: marshmallow.Schema, value: Any, unknown: str) -> Any:
    if isinstance(value, Mapping):
        given = dict(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        given = {name: getattr(value, name) for name in names if hasattr(value, name)}
    else:
        return value
    rows: dict[Any, list[tuple[str, Any]]] = {}
    absent = []
    for name, field in schema.fields.items():
        if field.load_only:
            continue
        wire, own = wire_name(name, field), field.attribute or name
        found = wire if wire in given else own
        if found in given and not _is_computed(field):
            rows.setdefault(found, []).append((wire, field))
        else:
            absent.append((wire, name, field))
    made: dict[Any, Any] = {}
    never = {wire_name(name, field) for name, field in schema.declared_fields.items() if field.load_only}
    for key, item in given.items():
        if key in rows:
            made |= {wire: _of(field, item) for wire, field in rows[key]}
        elif key in never:
            continue
        elif unknown != marshmallow.EXCLUDE and not any(key == wire for wire, _, _ in absent):
            made[key] = item
    for wire, name, field in absent:
        if (item := _made_up(field, name, value)) is not marshmallow.missing:
            made[wire] = item
    return made


def _is_computed(field: Any) -> bool:
    if isinstance(field, ma_fields.Function):
        return field.serialize_func is not None
    if isinstance(field, ma_fields.Method):
        return field.serialize_method_name is not None
    return isinstance(field, ma_fields.Constant)


def _made_up(field: Any, name: str, value: Any) -> Any:
    """Return what a field dumps that the answer does not give."""
    if isinstance(field, ma_fields.Constant):
        return field.constant
    if isinstance(field, _COMPUTED):
        return field.serialize(name, value) if _is_computed(field) else marshmallow.missing
    default = field.dump_default() if callable(field.dump_default) else field.dump_default
    return default if default is marshmallow.missing else _of(field, default)


def _of(field: Any, value: Any) -> Any:
    """Return one field's value as it dumps it."""
    if value is None:
        return None
    if not type(field)._serialize.__module__.startswith(_OURS) or "_serialize" in vars(field):
        return _or_as_it_is(field._serialize, value)
    for kinds, form in _FORMS:
        if isinstance(field, kinds):
            return form(field, value)
    for kinds, form in _SCALARS:
        if isinstance(field, kinds):
            made = form(field, value)
            # Of what is still no JSON, fields load more than a client may read: its text has to do.
            return made if type(made) in _JSON_TYPES else form(field, _as_json(made))
    return _as_json(value) if isinstance(field, ma_fields.String) else value


def _as_json(value: Any) -> Any:
    """Return the value as a client reads it; ``dump`` refuses the rest by its place, or knows it as missing."""
    if type(value) not in _JSON_TYPES:
        with contextlib.suppress(NotJsonError):
            return to_plain(value)
    return value


def _or_as_it_is(serialize: Callable[..., Any], value: Any) -> Any:
    try:
        return serialize(value, None, {})
    except Exception:  # the value was dumped before, or is none for this field, which the schema will say
        return value


def _again(field: Any, value: Any) -> Any:
    """Return what was dumped before as the field itself would have dumped it."""
    try:
        loaded = field.deserialize(value)
        return value if _is_date_time(field, value) else field._serialize(loaded, None, {})
    except Exception:  # as above
        return value


def _is_date_time(field: Any, value: Any) -> bool:
    if not isinstance(field, ma_fields.DateTime) or not _takes_datetimes(field) or field.format not in _ISO:
        return False
    found = _DATE_TIME.fullmatch(value) if isinstance(value, str) else None
    return found is not None and (found[2] is not None or not isinstance(field, ma_fields.AwareDateTime))


def _is_missing(value: Any) -> bool:
    return bool(value != value)


def _enum(field: Any, value: Any) -> Any:
    if isinstance(value, field.enum) and isinstance(value, enum.Enum):
        return field._serialize(value, None, {})
    return _again(field, value)


def _date(field: Any, value: Any) -> Any:
    value = _of_numpy(value)
    if isinstance(value, datetime.date | datetime.time):
        if _is_missing(value):
            return value
        if _takes_datetimes(field):
            value = datetime.datetime.combine(value, datetime.time()) if type(value) is datetime.date else value
            value = to_plain(value) if field.format in _ISO else _or_as_it_is(field._serialize, value)
        else:
            value = _or_as_it_is(field._serialize, value)
    return _again(field, value)


def _takes_datetimes(field: Any) -> bool:
    return not isinstance(field, ma_fields.Time | ma_fields.Date)


def _timedelta(field: Any, value: Any) -> Any:
    value = _of_numpy(value)
    if isinstance(value, datetime.timedelta):
        return value if _is_missing(value) else field._serialize(value, None, {})
    return _again(field, value)


def _of_numpy(value: Any) -> Any:
    """Return one of numpy's times, or lengths of time, as Python's."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.datetime64 | numpy.timedelta64) or numpy.isnat(value):
        return value
    made = value.astype(f"{value.dtype.kind}8[us]").item()
    return value if isinstance(made, int) else made


def _decimal(field: Any, value: Any) -> Any:
    if isinstance(value, str):
        made = _again(field, value)
    elif isinstance(value, decimal.Decimal) or field.as_string:
        made = _or_as_it_is(field._serialize, value)
    else:
        return value
    if not isinstance(made, decimal.Decimal):
        return made
    # All its digits, as a number.
    return orjson.Fragment(str(made)) if made.is_finite() else float("nan")


def _integer(field: Any, value: Any) -> Any:
    if isinstance(value, str) and not field.strict:
        value = _again(field, value)
    elif isinstance(value, numbers.Real | decimal.Decimal) and not (
        isinstance(value, numbers.Integral) or field.strict
    ):
        value = _whole(value)
    return _or_as_it_is(field._serialize, value) if field.as_string and isinstance(value, numbers.Integral) else value


def _whole(value: Any) -> Any:
    return int(value) if not _is_endless(value) and value == int(value) else value


def _is_endless(value: Any) -> bool:
    """Tell whether a number is NaN or infinity; ``math`` raises for a Decimal's signalling NaN."""
    return not (value.is_finite() if isinstance(value, decimal.Decimal) else math.isfinite(value))


def _float(field: Any, value: Any) -> Any:
    if isinstance(value, str):
        value = _again(field, value)
    elif isinstance(value, decimal.Decimal | fractions.Fraction) or _is_long_double(value):
        value = math.nan if _is_endless(value) else float(value)
    return _or_as_it_is(field._serialize, value) if field.as_string and isinstance(value, numbers.Real) else value


def _is_long_double(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.longdouble)


def _is_numpy_bool(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.bool_)


def _boolean(field: Any, value: Any) -> Any:
    value = bool(value) if _is_numpy_bool(value) else value
    return value if isinstance(value, bool) else _again(field, value)


def _uuid(field: Any, value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else _again(field, value)


def _address(field: Any, value: Any) -> Any:
    return field._serialize(value, None, {}) if isinstance(value, _ADDRESSES) else value


def _list(field: Any, value: Any) -> Any:
    if _is_ready(field.inner, value):
        return value
    items = _items_of(value)
    return value if items is None else [_of(field.inner, each) for each in items]


def _is_ready(inner: Any, value: Any) -> bool:
    """Tell whether a list or an array holds nothing but what its field dumps, without a look at each of its items."""
    depth = 1
    while isinstance(inner, ma_fields.List):
        inner, depth = inner.inner, depth + 1
    kind: Any = type(inner)
    if kind not in _READY_TYPES or getattr(inner, "as_string", False):
        return False
    if type(value) is list:
        return depth == 1 and _READY_TYPES[kind].issuperset(map(type, value))
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and value.dtype.kind in _READY_KINDS.get(kind, "")


def _items_of(value: Any) -> list[Any] | None:
    """Return what stands in JSON as a list, as such; None for anything else."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str | Mapping):
        return None
    try:
        made = simpler(value)
    except NotJsonError:
        return None
    if isinstance(made, orjson.Fragment):
        made = value.tolist() if value.ndim else None
    return made if isinstance(made, list) else None


def _tuple(field: Any, value: Any) -> Any:
    items = _items_of(value)
    if items is None or len(items) != len(field.tuple_fields):
        return value
    return [_of(each, item) for each, item in zip(field.tuple_fields, items, strict=True)]


def _mapping(field: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    keys, values = field.key_field, field.value_field
    made = {_of(keys, key) if keys else key: _of(values, item) if values else item for key, item in value.items()}
    if len(made) < len(value):
        raise NotJsonError("two of its keys are the same once they are text")
    return made


def _nested(field: Any, value: Any) -> Any:
    many = field.many or field.schema.many
    if not isinstance(field, ma_fields.Pluck):
        return dumped(field.schema, value, many=many, unknown=field.unknown)
    if not many:
        return _plucked(field, value)
    items = _items_of(value)
    return value if items is None else [_plucked(field, each) for each in items]


def _plucked(field: Any, value: Any) -> Any:
    inner = field.schema.fields[field.field_name]
    if not isinstance(value, Mapping):
        return _of(inner, value)
    made = dumped(field.schema, value, many=False)
    return made.get(wire_name(field.field_name, inner), value)


def _constant(field: Any, value: Any) -> Any:
    return field.constant


def _delimited(field: Any, value: Any) -> Any:
    items = _items_of(value)
    return value if items is None else _or_as_it_is(field._serialize, items)


def _array(field: Any, value: Any) -> Any:
    array: Any = value if hasattr(value, "dtype") else None
    if array is not None and getattr(array.dtype, "kind", "") == "c":
        raise NotJsonError("an array of complex numbers; return its real and its imaginary part")
    return value


_Form = Callable[[Any, Any], Any]
_FORMS: Iterable[tuple[Any, _Form]] = (
    (_DELIMITED, _delimited),
    (ma_fields.List, _list),
    (ma_fields.Tuple, _tuple),
    (ma_fields.Mapping, _mapping),
    (ma_fields.Nested, _nested),
    (ma_fields.Constant, _constant),
    (NDArray, _array),
)
_SCALARS: Iterable[tuple[Any, _Form]] = (
    (ma_fields.Enum, _enum),
    (_DATES, _date),
    (ma_fields.TimeDelta, _timedelta),
    (ma_fields.Decimal, _decimal),
    (ma_fields.Integer, _integer),
    (ma_fields.Float, _float),
    (ma_fields.Boolean, _boolean),
    (ma_fields.UUID, _uuid),
    ((ma_fields.IP, ma_fields.IPInterface), _address),
)
