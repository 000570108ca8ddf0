"""Every kind of field, and JSON values of every kind: what is published of the one is tried with the other."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import re
import types
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import marshmallow
import numpy as np
from jsonschema import FormatChecker  # type: ignore[import-untyped]
from marshmallow import validate

from modelserve.v2 import fields

__all__ = ["ANSWERS", "FIELDS", "FORMATS", "VALUES", "WORDS"]


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 5


class Day(enum.Enum):
    FIRST = datetime.date(2020, 1, 2)


class Inner(marshmallow.Schema):
    """Refuses what it does not know."""

    a = fields.Int(required=True)
    b = fields.Str(load_default="x")
    shown = fields.Str(dump_only=True)
    secret = fields.Str(load_only=True)


class Loose(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.INCLUDE
        description = "Takes what it does not know."

    a = fields.Int()


Make = Callable[..., Any]

_ZONE = datetime.UTC
_FORMATS = (None, "iso", "rfc", "timestamp", "timestamp_ms", "%d/%m/%Y %H:%M")

# Each is made anew, with the options of a test: null allowed, a default, a place.
FIELDS: dict[str, Make] = {
    "string": fields.Str,
    "integer": fields.Int,
    "integer, strict": lambda **k: fields.Int(strict=True, **k),
    "number": fields.Float,
    "number or NaN": lambda **k: fields.Float(allow_nan=True, **k),
    "boolean": fields.Bool,
    "boolean by other words": lambda **k: fields.Bool(truthy={"yes"}, falsy={"no"}, **k),
    "boolean by numbers": lambda **k: fields.Bool(truthy={1}, falsy={0}, **k),
    "decimal": fields.Decimal,
    "decimal of two places": lambda **k: fields.Decimal(places=2, **k),
    "decimal as text": lambda **k: fields.Decimal(as_string=True, **k),
    "uuid": fields.UUID,
    "email": fields.Email,
    "url": fields.Url,
    "url, relative": lambda **k: fields.Url(relative=True, **k),
    "ip": fields.IP,
    "ipv4": fields.IPv4,
    "ipv6": fields.IPv6,
    "ip interface": fields.IPInterface,
    "ipv4 interface": fields.IPv4Interface,
    "ipv6 interface": fields.IPv6Interface,
    **{f"datetime as {form}": lambda form=form, **k: fields.DateTime(format=form, **k) for form in _FORMATS},
    "naive datetime": fields.NaiveDateTime,
    "naive datetime in UTC": lambda **k: fields.NaiveDateTime(timezone=_ZONE, **k),
    "aware datetime": fields.AwareDateTime,
    "aware datetime, else UTC": lambda **k: fields.AwareDateTime(default_timezone=_ZONE, **k),
    "date": fields.Date,
    "date as d/m/Y": lambda **k: fields.Date(format="%d/%m/%Y", **k),
    "time": fields.Time,
    "time as H.M": lambda **k: fields.Time(format="%H.%M", **k),
    **{f"{unit}": lambda unit=unit, **k: fields.TimeDelta(unit, **k) for unit in ("seconds", "days", "microseconds")},
    "enum": lambda **k: fields.Enum(Colour, **k),
    "enum by value": lambda **k: fields.Enum(Colour, by_value=True, **k),
    "enum by number": lambda **k: fields.Enum(Level, by_value=True, **k),
    "enum by a field": lambda **k: fields.Enum(Level, by_value=fields.Int, **k),
    "enum by date": lambda **k: fields.Enum(Day, by_value=fields.Date, **k),
    "constant": lambda **k: fields.Constant("c", **k),
    "anything": fields.Raw,
    "object": fields.Dict,
    "object by integer": lambda **k: fields.Dict(keys=fields.Int(), values=fields.Float(), **k),
    "object by float": lambda **k: fields.Dict(keys=fields.Float(), **k),
    "object by boolean": lambda **k: fields.Dict(keys=fields.Bool(), **k),
    "object by enum": lambda **k: fields.Dict(keys=fields.Enum(Colour), values=fields.Raw(), **k),
    "object by an enum's value": lambda **k: fields.Dict(keys=fields.Enum(Level, by_value=True), **k),
    "object by short names": lambda **k: fields.Dict(keys=fields.Str(validate=validate.Length(max=2)), **k),
    "object by date": lambda **k: fields.Dict(keys=fields.Date(), **k),
    "list of integers": lambda **k: fields.List(fields.Int(), **k),
    "list of texts": lambda **k: fields.List(fields.Str(), **k),
    "list with nulls": lambda **k: fields.List(fields.Int(allow_none=True), **k),
    "list of lists": lambda **k: fields.List(fields.List(fields.Float()), **k),
    "list of objects": lambda **k: fields.List(fields.Dict(), **k),
    "list of schemas": lambda **k: fields.List(fields.Nested(Inner), **k),
    "list of anything": lambda **k: fields.List(fields.Raw(), **k),
    "list of dates": lambda **k: fields.List(fields.Date(), **k),
    "list of booleans": lambda **k: fields.List(fields.Bool(), **k),
    "list of enums": lambda **k: fields.List(fields.Enum(Colour, by_value=True), **k),
    "delimited integers": lambda **k: fields.DelimitedList(fields.Int(), **k),
    "delimited texts": lambda **k: fields.DelimitedList(fields.Str(), delimiter="|", **k),
    "delimited tuple": lambda **k: fields.DelimitedTuple((fields.Int(), fields.Str()), **k),
    "tuple": lambda **k: fields.Tuple((fields.Int(), fields.Str()), **k),
    "tuple with a list": lambda **k: fields.Tuple((fields.Float(), fields.List(fields.Int())), **k),
    "schema": lambda **k: fields.Nested(Inner, **k),
    "schemas": lambda **k: fields.Nested(Inner, many=True, **k),
    "schemas by their instance": lambda **k: fields.Nested(Inner(many=True), **k),
    "schema, loose": lambda **k: fields.Nested(Loose, **k),
    "schema, loose here": lambda **k: fields.Nested(Inner, unknown=marshmallow.INCLUDE, **k),
    "schemas, loose here": lambda **k: fields.Nested(Inner, many=True, unknown=marshmallow.EXCLUDE, **k),
    "schema, strict here": lambda **k: fields.Nested(Loose, unknown=marshmallow.RAISE, **k),
    "part of a schema": lambda **k: fields.Nested(Inner, only=("a",), **k),
    "schema, partial": lambda **k: fields.Nested(Inner(partial=True), **k),
    "plucked": lambda **k: fields.Pluck(Inner, "a", **k),
    "plucked, many": lambda **k: fields.Pluck(Inner, "a", many=True, **k),
    "float32 array": lambda **k: fields.NDArray(dtype="f4", **k),
    "two bytes": lambda **k: fields.NDArray(dtype="uint8", shape=(2,), **k),
    "uint64 array": lambda **k: fields.NDArray(dtype="u8", **k),
    "int32 scalar": lambda **k: fields.NDArray(dtype="i4", shape=(), **k),
    "boolean array": lambda **k: fields.NDArray(dtype=bool, **k),
    "rows of two": lambda **k: fields.NDArray(shape=(None, 2), **k),
    "1 to 5": lambda **k: fields.Int(validate=validate.Range(1, 5), **k),
    "between 1 and 5": lambda **k: fields.Float(
        validate=validate.Range(1, 5, min_inclusive=False, max_inclusive=False), **k
    ),
    "two limits": lambda **k: fields.Int(validate=[validate.Range(min=1), validate.Range(max=5)], **k),
    "limits that overlap": lambda **k: fields.Float(
        validate=[validate.Range(min=2), validate.Range(min=2, min_inclusive=False), validate.Range(min=1)], **k
    ),
    "limits joined": lambda **k: fields.Int(validate=validate.And(validate.Range(min=1), validate.Range(max=5)), **k),
    "limits between integers": lambda **k: fields.Int(validate=validate.Range(min=0.5, max=5.5), **k),
    "limit of a decimal": lambda **k: fields.Decimal(validate=validate.Range(min=decimal.Decimal("0.1")), **k),
    "limit of a date": lambda **k: fields.Date(validate=validate.Range(min=datetime.date(2021, 1, 1)), **k),
    "limit of a duration": lambda **k: fields.TimeDelta(
        validate=validate.Range(max=datetime.timedelta(seconds=10)), **k
    ),
    "limit of a timestamp": lambda **k: fields.DateTime(
        "timestamp", validate=validate.Range(min=datetime.datetime(2020, 1, 1)), **k
    ),
    "no limit": lambda **k: fields.Float(validate=validate.Range(max=math.inf), **k),
    "a large limit": lambda **k: fields.Int(validate=validate.Range(max=2**70), **k),
    "one of texts": lambda **k: fields.Str(validate=validate.OneOf(["a", "b"]), **k),
    "one of integers": lambda **k: fields.Int(validate=validate.OneOf([1, 2]), **k),
    "one of numbers": lambda **k: fields.Float(validate=validate.OneOf([0.5, 1]), **k),
    "one of a range": lambda **k: fields.Int(validate=validate.OneOf(range(1, 4)), **k),
    "one of two choices": lambda **k: fields.Str(
        validate=[validate.OneOf(["a", "b"]), validate.OneOf(["b", "c"])], **k
    ),
    "one of, joined": lambda **k: fields.Str(validate=validate.And(validate.OneOf(["a", "b"])), **k),
    "one of none": lambda **k: fields.Str(validate=validate.OneOf([]), **k),
    "one of uuids": lambda **k: fields.UUID(validate=validate.OneOf([uuid.UUID(int=1)]), **k),
    "one of dates": lambda **k: fields.Date(validate=validate.OneOf([datetime.date(2020, 1, 2)]), **k),
    "one of durations": lambda **k: fields.TimeDelta(validate=validate.OneOf([datetime.timedelta(seconds=5)]), **k),
    "one of decimals": lambda **k: fields.Decimal(validate=validate.OneOf([decimal.Decimal("1.5")]), **k),
    "one of booleans": lambda **k: fields.Bool(validate=validate.OneOf([True]), **k),
    "one of an enum": lambda **k: fields.Enum(Colour, validate=validate.OneOf([Colour.RED]), **k),
    "one of anything": lambda **k: fields.Raw(validate=validate.OneOf([1, "a", None]), **k),
    "list of one of": lambda **k: fields.List(fields.Str(validate=validate.OneOf(["a"])), **k),
    "none of": lambda **k: fields.Int(validate=[validate.NoneOf([1, 2]), validate.NoneOf([3])], **k),
    "equal": lambda **k: fields.Int(validate=validate.Equal(3), **k),
    "1 to 3 letters": lambda **k: fields.Str(validate=validate.Length(1, 3), **k),
    "two letters": lambda **k: fields.Str(validate=validate.Length(equal=2), **k),
    "two lengths": lambda **k: fields.Str(validate=[validate.Length(min=1), validate.Length(max=2)], **k),
    "1 to 2 items": lambda **k: fields.List(fields.Int(), validate=validate.Length(1, 2), **k),
    "one key": lambda **k: fields.Dict(validate=validate.Length(max=1), **k),
    "two schemas": lambda **k: fields.Nested(Inner, many=True, validate=validate.Length(max=1), **k),
    "too long a tuple": lambda **k: fields.Tuple((fields.Int(), fields.Int()), validate=validate.Length(max=1), **k),
    "pattern": lambda **k: fields.Str(validate=validate.Regexp("[ab]+$"), **k),
    "pattern at the start": lambda **k: fields.Str(validate=validate.Regexp("b"), **k),
    "two patterns": lambda **k: fields.Str(validate=[validate.Regexp("^a"), validate.Regexp(".*b")], **k),
    "pattern of Python": lambda **k: fields.Str(validate=validate.Regexp(r"(?P<x>a)\Z"), **k),
    "patterns or": lambda **k: fields.Str(validate=validate.Regexp("^a|b$"), **k),
    "only a and b": lambda **k: fields.List(fields.Str(), validate=validate.ContainsOnly(["a", "b"]), **k),
    "letters a to c": lambda **k: fields.Str(validate=validate.ContainsOnly("abc"), **k),
    "no b": lambda **k: fields.Str(validate=validate.ContainsNoneOf("b]-^"), **k),
    "no 1": lambda **k: fields.List(fields.Int(), validate=validate.ContainsNoneOf([1]), **k),
    "text that is an email": lambda **k: fields.Str(validate=validate.Email(), **k),
    "text that is a url": lambda **k: fields.Str(validate=validate.URL(), **k),
    "metadata of another type": lambda **k: fields.Str(**_with(k, type="integer", description="d")),
    "metadata with choices": lambda **k: fields.Str(validate=validate.OneOf(["a", "b"]), **_with(k, enum=["b", "c"])),
}


def _with(options: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**options, "metadata": {**metadata, **options.get("metadata", {})}}


_UUID = "00000000-0000-0000-0000-000000000001"

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 5, 6, -1, 100, 255, 256, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1),
    *(
        2**63,
        2**64 - 1,
        2**70,
        2**70 + 1,
        -(2**63),
        -(10**26),
        1577836800,
        1577836799,
        253402300799,
        253402300800,
        1e308,
    ),
    *(0.1, 0.05, 0.5, 1.5, 4.9, 5.1, 30.9, -0.5, 3.5e38, 1e-300),
    *("", " ", "a", "b", "c", "d", "q", "ab", "ba", "aba", "abab", "A", "zz", "é", "😀", "1", "1.5", "1e3"),
    *(
        "nan",
        "inf",
        "true",
        "yes",
        "no",
        "0",
        "5",
        "RED",
        "BLUE",
        "red",
        "blue",
        "1|2",
        "1,2",
        "1,a",
        "a|b",
        "1,2,3",
        ",",
    ),
    *(_UUID, _UUID.replace("-", ""), _UUID[:-1] + "G", "a@b.ch", "a@", "http://a.ch", "/x/y", "ftp://a.ch", "a://b"),
    *(
        "1.2.3.4",
        "::1",
        "1.2.3.4/24",
        "::1/64",
        "1.2.3.400",
        "1.2.3",
        "2020-01-02",
        "2021-01-01",
        "2020-1-2",
        "2020-13-01",
    ),
    *("2020-02-30", "2020-01-02T03:04:05", "2020-01-02T03:04:05Z", "2020-01-02T03:04:05+02:00", "0001-01-01T00:00:00Z"),
    *(
        "2020-01-02T03:04:05.123456Z",
        "2020-01-02 03:04:05",
        "9999-12-31T23:59:59Z",
        "0000-01-01",
        "2020-01-02T24:00:00Z",
    ),
    *(
        "Thu, 02 Jan 2020 03:04:05 GMT",
        "02/01/2020",
        "31/02/2020",
        "02/01/2020 03:04",
        "03:04:05",
        "03:04:05Z",
        "24:00:00",
    ),
    *("03:04:05+02:00", "03:04:05.5", "03:04", "03.04", "24.00", "1e-3"),
    *(
        [],
        [1],
        [1, 2],
        [1, 2, 3],
        [300, 1],
        ["a"],
        ["b", "a"],
        ["c"],
        [None],
        [True, False],
        [1.5],
        [[1]],
        [[1, 2]],
        [[]],
    ),
    *([[1.5, 2.5], [1, 2]], [{}], [{"a": 1}], [{"a": 1, "b": "z"}], [{"a": 1}, {"a": 2}], ["1"], [1, "x"], [1, [2]]),
    *([1.5, [2, 3]], ["2020-01-02"], ["RED"], ["blue", 1], [2**64 - 1], [2**64], [-1], [{"a": 1, "c": 2}]),
    *({}, {"a": 1}, {"a": 1, "b": "y"}, {"a": 1, "c": 2}, {"a": "x"}, {"b": "x"}, {"a": None}, {"1": 2}, {"1": "x"}),
    *(
        {"1.5": 1},
        {"abc": 1},
        {"RED": 1},
        {"x": {"y": [1]}},
        {"2020-01-02": 1},
        {"true": 1},
        {"": 1},
        {"-1": 1.5},
        {"0": 1},
    ),
    *({"5": 1}, {"nan": 1}, {"a": 1, "shown": "x"}, {"a": 1, "secret": "x"}, {"a": 1.5}),
]

_MOMENT = datetime.datetime(2020, 1, 2, 3, 4, 5)

# What models return beside JSON values.
ANSWERS: list[Any] = [
    *(
        float("nan"),
        math.inf,
        -0.0,
        3.0,
        2**63,
        10**400,
        decimal.Decimal("1.50"),
        decimal.Decimal("NaN"),
        decimal.Decimal(10),
    ),
    *(
        decimal.Decimal("1e-9"),
        fractions.Fraction(1, 2),
        1 + 2j,
        uuid.UUID(int=1),
        b"bytes",
        b"\xff",
        pathlib.Path("/x"),
    ),
    *(
        Colour.RED,
        Colour.BLUE,
        Level.HIGH,
        Day.FIRST,
        _MOMENT,
        _MOMENT.replace(microsecond=5),
        _MOMENT.astimezone(_ZONE),
    ),
    *(_MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))), _MOMENT.date(), _MOMENT.time()),
    *(
        datetime.datetime.min,
        datetime.datetime.max,
        datetime.datetime(1960, 1, 1),
        datetime.date.min,
        datetime.time.max,
    ),
    *(
        datetime.time(1, tzinfo=_ZONE),
        datetime.timedelta(days=1, microseconds=1),
        datetime.timedelta.max,
        datetime.timedelta.min,
    ),
    *(ipaddress.ip_address("1.2.3.4"), ipaddress.ip_address("::1"), ipaddress.ip_interface("1.2.3.4/24")),
    *(
        {1, 2},
        frozenset(),
        (1, "x"),
        (1.5, [2]),
        range(3),
        deque([1]),
        OrderedDict(a=1),
        {1: 2},
        {Colour.RED: 1},
        {1.5: 1},
    ),
    *(
        {_MOMENT.date(): 1},
        {Level.LOW: 1},
        {True: 1},
        [Colour.RED],
        [_MOMENT.date()],
        [True],
        [decimal.Decimal(1)],
        [{1: 2}],
    ),
    *(types.SimpleNamespace(a=1, b="y"), [types.SimpleNamespace(a=1)], iter([1]), object(), int),
    *(
        np.int8(1),
        np.uint64(2**64 - 1),
        np.float32(0.1),
        np.float64("nan"),
        np.bool_(True),
        np.str_("a"),
        np.datetime64("2020-01-02"),
    ),
    *(
        np.datetime64("NaT"),
        np.timedelta64(1, "s"),
        np.array([1, 2]),
        np.array([[1.5, 2.5]]),
        np.array([1, 2], "u1"),
        np.array(5),
    ),
    *(np.array([np.nan]), np.array(["a"]), np.array([True]), np.ma.masked_array([1, 2], [False, True])),
]

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def is_date_time(value: Any) -> bool:
    # RFC 3339, 5.6; of a leap second and the 24th hour Python knows nothing
    return not isinstance(value, str) or bool(
        _DATE_TIME.fullmatch(value) and "T24" not in value and datetime.datetime.fromisoformat(value)
    )


@FORMATS.checks("date", raises=ValueError)  # type: ignore[untyped-decorator]
def is_date(value: Any) -> bool:
    return not isinstance(value, str) or bool(len(value) == 10 and datetime.date.fromisoformat(value))


@FORMATS.checks("uuid")  # type: ignore[untyped-decorator]
def is_uuid(value: Any) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))


@FORMATS.checks("email", raises=marshmallow.ValidationError)  # type: ignore[untyped-decorator]
def is_email(value: Any) -> bool:
    return not isinstance(value, str) or bool(validate.Email()(value))


@FORMATS.checks("uri", raises=marshmallow.ValidationError)  # type: ignore[untyped-decorator]
def is_uri(value: Any) -> bool:
    return not isinstance(value, str) or bool(validate.URL()(value))


@FORMATS.checks("uri-reference", raises=marshmallow.ValidationError)  # type: ignore[untyped-decorator]
def is_uri_reference(value: Any) -> bool:
    return not isinstance(value, str) or bool(validate.URL(relative=True)(value))


@FORMATS.checks("ip", raises=ValueError)  # type: ignore[untyped-decorator]
def is_ip(value: Any) -> bool:
    return not isinstance(value, str) or bool(ipaddress.ip_address(value))


@FORMATS.checks("ipv4", raises=ValueError)  # type: ignore[untyped-decorator]
def is_ipv4(value: Any) -> bool:
    return not isinstance(value, str) or bool(ipaddress.IPv4Address(value))


@FORMATS.checks("ipv6", raises=ValueError)  # type: ignore[untyped-decorator]
def is_ipv6(value: Any) -> bool:
    return not isinstance(value, str) or bool(ipaddress.IPv6Address(value))


# What the description says in words, because JSON Schema has no keyword for it; false or a ValueError is a no.
WORDS: dict[str, Callable[[str], object]] = {
    "ip interface": ipaddress.ip_interface,
    "ipv4 interface": ipaddress.IPv4Interface,
    "ipv6 interface": ipaddress.IPv6Interface,
    "datetime as %d/%m/%Y %H:%M": lambda text: datetime.datetime.strptime(text, "%d/%m/%Y %H:%M"),
    "date as d/m/Y": lambda text: datetime.datetime.strptime(text, "%d/%m/%Y"),
    "naive datetime": datetime.datetime.fromisoformat,
    "delimited integers": lambda text: [True, *(int(each) for each in text.split(",") if text)],
    "delimited tuple": lambda text: text.count(",") == 1 and str(int(text.partition(",")[0])),
    "limit of a date": lambda text: text >= "2021-01-01",
}
