"""Values of Python's, numpy's and pandas' own types, and the places in which a model may leave them.

SENT: name -> (value, JSON text)    REFUSED: name -> (value, part of the reason)    PLACES: value within another
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import http
import importlib
import importlib.util
import io
import ipaddress
import math
import pathlib
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy
import orjson

__all__ = ["ALL", "NULLED", "PLACES", "REFUSED", "SENT", "pd"]

# Their stubs know fewer values than they take.
np: Any = numpy
pd: Any = importlib.import_module("pandas") if importlib.util.find_spec("pandas") else None

Point = collections.namedtuple("Point", "x y")
UTC = datetime.UTC
# As the installed orjson writes it.
SIXTEEN = orjson.dumps(1e16).decode()


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    A = "a"


class Mode(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Meta(enum.EnumMeta):
    pass


class Odd(enum.Enum, metaclass=Meta):
    ONE = 1


class Whole(int):
    pass


class Real(float):
    pass


class Text(str):
    def __str__(self) -> str:
        return "not this"


class Day(datetime.date):
    pass


class Moment(datetime.datetime):
    pass


class Clock(datetime.time):
    pass


class Items(list[int]):
    pass


@dataclasses.dataclass
class Box:
    b: int
    a: Any = None
    _hidden: int = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    b: int = 1
    _hidden: int = 0


class Grown(Box):
    """No dataclass itself."""


def reordered() -> Any:
    made = collections.OrderedDict(a=1, b=2)
    made.move_to_end("a")
    return made


def more() -> Box:
    box = Box(1)
    vars(box)["more"] = 2
    return box


berlin = zoneinfo.ZoneInfo("Europe/Berlin")
record = np.array([(1, 0.1, "2020-01-01"), (2, 0.5, "2020-01-02")], dtype=[("n", "i4"), ("x", "f4"), ("t", "M8[ns]")])

SENT: dict[str, tuple[Any, str]] = {
    # Python's numbers and texts
    "none": (None, "null"),
    "true": (True, "true"),
    "int": (-3, "-3"),
    "int of 64 bits": (2**64 - 1, str(2**64 - 1)),
    "int of 65 bits": (2**64, str(2**64)),
    "int far below": (-(2**63) - 1, str(-(2**63) - 1)),
    "int subclass": (Whole(5), "5"),
    "large int subclass": (Whole(2**70), str(2**70)),
    "float": (0.1, "0.1"),
    "float with exponent": (1e16, SIXTEEN),
    "small float": (1e-5, orjson.dumps(1e-5).decode()),
    "minus zero": (-0.0, "-0.0"),
    "float subclass": (Real(1e16), SIXTEEN),
    "text": ("Zürich \u2028 🐕", '"Zürich \u2028 🐕"'),
    "text subclass": (Text("é"), '"é"'),
    "lone surrogate": ("é\ud800", '"\\u00e9\\ud800"'),
    "user string": (collections.UserString("é"), '"é"'),
    "decimal": (decimal.Decimal("1.50"), '"1.50"'),
    "decimal exponent": (decimal.Decimal("1E+400"), '"1E+400"'),
    "fraction": (fractions.Fraction(1, 3), '"1/3"'),
    "complex": (1 + 2j, '"(1+2j)"'),
    # enums
    "enum": (Colour.RED, '"red"'),
    "enum of a tuple": (Colour.PAIR, "[1,2]"),
    "int enum": (Level.LOW, "1"),
    "text enum": (Name.A, '"a"'),
    "status": (http.HTTPStatus.OK, "200"),
    "flag": (Mode.READ | Mode.WRITE, "3"),
    "enum of a metaclass": (Odd.ONE, "1"),
    # times
    "datetime": (datetime.datetime(2020, 1, 2, 3), '"2020-01-02T03:00:00"'),
    "epoch": (datetime.datetime(1970, 1, 1), '"1970-01-01T00:00:00"'),
    "text of the epoch": ("1970-01-01T00:00:00", '"1970-01-01T00:00:00"'),
    "datetime in utc": (datetime.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), '"2020-01-02T03:04:05.000006+00:00"'),
    "datetime in a zone": (datetime.datetime(2020, 7, 2, tzinfo=berlin), '"2020-07-02T00:00:00+02:00"'),
    "datetime of old": (datetime.datetime(1800, 7, 2, tzinfo=berlin), '"1800-07-02T00:00:00+00:53"'),
    "datetime subclass": (Moment(1800, 7, 2, tzinfo=berlin), '"1800-07-02T00:00:00+00:53"'),
    "first datetime": (datetime.datetime.min, '"0001-01-01T00:00:00"'),
    "date": (datetime.date(2020, 1, 2), '"2020-01-02"'),
    "date subclass": (Day(2020, 1, 2), '"2020-01-02"'),
    "time": (datetime.time(1, 2, 3, 4), '"01:02:03.000004"'),
    "time in a zone": (datetime.time(1, 2, tzinfo=UTC), '"01:02:00+00:00"'),
    "time subclass": (Clock(1, 2), '"01:02:00"'),
    "timedelta": (datetime.timedelta(days=1, seconds=2), '"1 day, 0:00:02"'),
    # other texts
    "uuid": (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    "ipv4": (ipaddress.ip_address("127.0.0.1"), '"127.0.0.1"'),
    "ipv6": (ipaddress.ip_address("::1"), '"::1"'),
    "network": (ipaddress.ip_network("10.0.0.0/8"), '"10.0.0.0/8"'),
    "interface": (ipaddress.ip_interface("10.0.0.1/8"), '"10.0.0.1/8"'),
    # lists
    "list": ([1, "a", None], '[1,"a",null]'),
    "list subclass": (Items([1]), "[1]"),
    "tuple": ((1, 2), "[1,2]"),
    "named tuple": (Point(1, None), "[1,null]"),
    "empty": ([[], (), {}], "[[],[],{}]"),
    "deque": (collections.deque([2, 1]), "[2,1]"),
    "range": (range(3), "[0,1,2]"),
    "user list": (collections.UserList([1, 2]), "[1,2]"),
    "array": (array.array("d", [1.0, 1e16]), f"[1.0,{SIXTEEN}]"),
    "set": ({10, 9, 1.5}, "[1.5,9,10]"),
    "set of texts": ({"b", "a", "é"}, '["a","b","é"]'),
    "frozenset": (frozenset({(2, 1), (1, 2)}), "[[1,2],[2,1]]"),
    "set of sets": ({frozenset({1}), frozenset({2, 3})}, "[[1],[2,3]]"),
    "set of all kinds": ({None, "a", 1, Colour.RED}, '["a","red",1,null]'),
    "empty set": (set(), "[]"),
    "keys": ({"b": 1, "a": 2}.keys(), '["b","a"]'),
    "values": ({"b": 1, "a": 2}.values(), "[1,2]"),
    "items": ({"b": 1, "a": 2}.items(), '[["b",1],["a",2]]'),
    # objects
    "dict": ({"b": 1, "a": {"c": None}}, '{"b":1,"a":{"c":null}}'),
    "ordered dict": (collections.OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
    "default dict": (collections.defaultdict(list, a=[1]), '{"a":[1]}'),
    "counter": (collections.Counter("aab"), '{"a":2,"b":1}'),
    "chain map": (collections.ChainMap({"a": 1}, {"b": 2}), '{"b":2,"a":1}'),
    "mapping proxy": (types.MappingProxyType({"a": 1}), '{"a":1}'),
    "user dict": (collections.UserDict(a=1), '{"a":1}'),
    "dataclass": (Box(1), '{"b":1,"a":null}'),
    "dataclass with more": (more(), '{"b":1,"a":null,"more":2}'),
    "dataclass with slots": (Slotted(), '{"b":1}'),
    "child of a dataclass": (Grown(1), '{"b":1,"a":null}'),
    # keys
    "keys of numbers": ({1: 0, 2.5: 0, 1e16: 0, 2**70: 0}, f'{{"1":0,"2.5":0,"{SIXTEEN}":0,"{2**70}":0}}'),
    "keys of words": ({None: 0, True: 0}, '{"null":0,"true":0}'),
    "keys of enums": ({Colour.RED: 0, Level.LOW: 0, Name.A: 0}, '{"red":0,"1":0,"a":0}'),
    "keys of numpy": (
        {np.int64(3): 0, np.float32(0.1): 0, np.str_("é"): 0, np.bool_(True): 0},
        '{"3":0,"0.1":0,"é":0,"true":0}',
    ),
    "keys of times": (
        {datetime.date(2020, 1, 2): 0, np.datetime64("2020-01-01", "ns"): 0, datetime.timedelta(1): 0},
        '{"2020-01-02":0,"2020-01-01T00:00:00":0,"1 day, 0:00:00":0}',
    ),
    "complex keys": ({1j: 0, ipaddress.ip_address("::1"): 0}, '{"1j":0,"::1":0}'),
    "other keys": ({decimal.Decimal("1.0"): 0, uuid.UUID(int=1): 0}, f'{{"1.0":0,"{uuid.UUID(int=1)}":0}}'),
    "keys of surrogates": ({"\udc00": 0, "é": {"a": (1, 2**70)}}, f'{{"\\udc00":0,"\\u00e9":{{"a":[1,{2**70}]}}}}'),
    # numpy's scalars
    **{f"numpy {kind}": (np.dtype(kind).type(1), "1") for kind in "bhilqBHILQ"},
    "numpy float16": (np.float16(0.1), "0.099975586"),
    "numpy float32": (np.float32(0.1), "0.1"),
    "numpy large float32": (np.float32(1e16), SIXTEEN),
    "numpy float64": (np.float64(1e16), SIXTEEN),
    "numpy truth": (np.bool_(True), "true"),
    "numpy text": (np.str_("é"), '"é"'),
    "numpy complex64": (np.complex64(0.5 + 1j), '"(0.5+1j)"'),
    "numpy complex128": (np.complex128(1j), '"1j"'),
    "numpy timedelta": (np.timedelta64(90, "m"), '"90 minutes"'),
    "numpy record": (record[0], '[1,0.1,"2020-01-01T00:00:00"]'),
    # numpy's arrays
    "array of ints": (np.arange(4).reshape(2, 2), "[[0,1],[2,3]]"),
    "array not contiguous": (np.arange(4, dtype="i2").reshape(2, 2).T, "[[0,2],[1,3]]"),
    "array of strides": (np.float32([0.1, 0.2, 1e16])[::2], f"[0.1,{SIXTEEN}]"),
    "array of another order": (np.array([0.1, 0.5], dtype=">f4"), "[0.1,0.5]"),
    "array of float16": (np.float16([0.1]), "[0.099975586]"),
    "array in Fortran's order": (np.asfortranarray(np.float32([[0.1, 0.2]])), "[[0.1,0.2]]"),
    "array of no dimensions": (np.array(0.1, dtype="f4"), "0.1"),
    "array of another order and no dimensions": (np.array(2, dtype=">i4"), "2"),
    "empty array": (np.zeros((2, 0)), "[[],[]]"),
    "array of truth": (np.array([True, False]), "[true,false]"),
    "array of texts": (np.array(["a", "é"]), '["a","é"]'),
    "array of texts, other order": (np.array(["a"], dtype=">U1"), '["a"]'),
    "array of objects": (np.array([1, "a", None, np.float32(0.1)], dtype=object), '[1,"a",null,0.1]'),
    "array of an object": (np.array({"a": 1}, dtype=object), '{"a":1}'),
    "array of complex": (np.array([1j, 2]), '["1j","(2+0j)"]'),
    "array of timedeltas": (np.array([[1, 2]], "m8[s]"), '[["1 seconds","2 seconds"]]'),
    "array of records": (record, '[[1,0.1,"2020-01-01T00:00:00"],[2,0.5,"2020-01-02T00:00:00"]]'),
    "array subclass": (np.float32([[0.1]]).view(type("Array", (numpy.ndarray,), {})), "[[0.1]]"),
    "masked, but nothing": (np.ma.masked_array(np.float32([0.1]), mask=[False]), "[0.1]"),
    "records in records": (
        np.zeros(1, dtype=[("a", [("b", "f4")]), ("c", "f4", (2,))]),
        "[[[0.0],[0.0,0.0]]]",
    ),
    "objects in an array": (np.array([[{"a": np.float32(0.1)}]], dtype=object), '[[{"a":0.1}]]'),
    "recarray": (record.view(np.recarray)[:1], '[[1,0.1,"2020-01-01T00:00:00"]]'),
    # numpy's times
    **{
        f"datetime64[{unit}]": (np.array(["1960-05-02", "2020-01-02"], f"M8[{unit}]"), text)
        for unit, text in {
            "Y": '["1960-01-01T00:00:00","2020-01-01T00:00:00"]',
            "M": '["1960-05-01T00:00:00","2020-01-01T00:00:00"]',
            "W": '["1960-04-28T00:00:00","2020-01-02T00:00:00"]',
            **dict.fromkeys(["D", "h", "m", "s", "ms", "us", "ns"], '["1960-05-02T00:00:00","2020-01-02T00:00:00"]'),
        }.items()
    },
    "datetime64[ps]": (np.datetime64("1970-01-01T00:00:01", "ps"), '"1970-01-01T00:00:01"'),
    "datetime64[as]": (np.datetime64("1970-01-01T00:00:01", "as"), '"1970-01-01T00:00:01"'),
    "datetime64 before 1970": (np.datetime64(-5, "ns"), '"1969-12-31T23:59:59.999999"'),
    "datetime64 in December": (np.array(["1969-12-01"], "M8[D]"), '["1969-12-01T00:00:00"]'),
    "datetime64 epoch": (np.datetime64(0, "D"), '"1970-01-01T00:00:00"'),
    "datetime64 year 9999": (np.datetime64("9999", "Y"), '"9999-01-01T00:00:00"'),
    "datetime64 of no dimensions": (np.array("2020-01-01", "M8[D]"), '"2020-01-01T00:00:00"'),
    "datetime64 of another order": (np.array(["2020-01-01"], ">M8[ns]"), '["2020-01-01T00:00:00"]'),
    "datetime64 of many units": (np.datetime64(2, "25s"), '"1970-01-01T00:00:50"'),
    "array of many units": (np.array([2], "M8[10D]"), '["1970-01-21T00:00:00"]'),
    "a quarter of an hour": (np.datetime64("2020-01-01T00:17").astype("M8[15m]"), '"2020-01-01T00:15:00"'),
    "no datetime64": (np.array([], "M8[D]"), "[]"),
}

# Refused, but where missing values are null: then this is sent.
NULLED: dict[str, tuple[Any, str]] = {
    "nan": (math.nan, "null"),
    "key that is nan": ({math.nan: 1, "a": 2}, '{"null":1,"a":2}'),
    "key that is no time": ({np.datetime64("NaT"): 1}, '{"null":1}'),
    "infinity": (-math.inf, "null"),
    "nan subclass": (Real("nan"), "null"),
    "decimal nan": (decimal.Decimal("NaN"), "null"),
    "decimal signalling nan": (decimal.Decimal("sNaN"), "null"),
    "decimal infinity": (decimal.Decimal("-Infinity"), "null"),
    "complex nan": (complex(math.nan, 1), "null"),
    "numpy nan": (np.float32("nan"), "null"),
    "numpy half infinity": (np.float16("inf"), "null"),
    "numpy complex nan": (np.complex64(complex(0, math.inf)), "null"),
    "array with nan": (np.array([[1.0, np.nan], [np.inf, 2.0]]), "[[1.0,null],[null,2.0]]"),
    "float32 with nan": (np.float32([0.1, np.nan]), "[0.1,null]"),
    "float32 strided with nan": (np.float32([0.1, 0.2, np.nan])[::2], "[0.1,null]"),
    "nan of no dimensions": (np.array(np.nan), "null"),
    "objects with nan": (np.array([0.5, np.nan, None], dtype=object), "[0.5,null,null]"),
    **{
        f"NaT[{unit}]": (np.datetime64("NaT", unit), "null")
        for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "as")
    },
    "NaT": (np.datetime64("NaT"), "null"),
    **{
        f"NaT in [{unit}]": (np.array(["NaT", "2020-01-01"], f"M8[{unit}]"), '[null,"2020-01-01T00:00:00"]')
        for unit in ("Y", "M", "D", "h", "m", "s", "ms", "us", "ns")
    },
    "NaT in two dimensions": (np.array([["NaT", "2020-01-01"]], ">M8[ns]"), '[[null,"2020-01-01T00:00:00"]]'),
    "NaT in a record": (np.array([(1, "NaT")], [("n", "i4"), ("t", "M8[D]")]), "[[1,null]]"),
    "no timedelta": (np.timedelta64("NaT", "s"), "null"),
    "no timedelta in an array": (np.array([1, "NaT"], "m8[s]"), '["1 seconds",null]'),
    "masked": (np.ma.masked, "null"),
    "masked ints": (np.ma.masked_array([1, 2], mask=[False, True]), "[1,null]"),
    "masked floats": (np.ma.masked_array(np.float32([[0.1, 2]]), mask=[[False, True]]), "[[0.1,null]]"),
    "masked times": (np.ma.masked_array(np.array(["2020-01-01"] * 2, "M8[D]"), [0, 1]), '["2020-01-01T00:00:00",null]'),
}

REFUSED: dict[str, tuple[Any, str]] = {
    "int of 5000 digits": (10**5000, "an integer of more than 4300 digits"),
    "bytes": ([b"x"], "type bytes; decode it"),
    "bytearray": ([bytearray(b"x")], "type bytearray; decode it"),
    "view of memory": ([memoryview(b"x")], "type memoryview; decode it"),
    "path": ([pathlib.PurePath("x")], "return str(...) of it"),
    "generator": ([(x for x in "ab")], "type generator; make a list of it"),
    "map": ([map(str, "ab")], "type map; make a list of it"),
    "class": (Box, "type type"),
    "function": (len, "type builtin_function_or_method"),
    "module": (math, "type module"),
    "ellipsis": (..., "type ellipsis"),
    "exception": (ValueError("x"), "type ValueError"),
    "slice": (slice(1), "type slice"),
    "namespace": (types.SimpleNamespace(a=1), "type types.SimpleNamespace"),
    "zone": (UTC, "type datetime.timezone"),
    "object": (object(), "type object"),
    "set with a class": ({int}, "type type"),
    "numpy long double": (np.longdouble(1), "convert it to float64"),
    "array of long doubles": (np.array([1], "g"), "convert it to float64"),
    "bytes of numpy": ([np.bytes_(b"x")], "numpy dtype |S1"),
    "array of bytes": (np.array([b"x"]), "numpy dtype |S1"),
    "void": (np.void(b"abc"), "numpy dtype |V3"),
    "year 10000": (np.datetime64("10000", "Y"), "beyond the years 0 to 9999"),
    "year -1": (np.array(["-0001-01-01"], "M8[D]"), "beyond the years 0 to 9999"),
    "days beyond all years": (np.datetime64(2**62, "D"), "beyond the years 0 to 9999"),
    "last of all weeks": (np.datetime64(2**63 - 1, "W"), "beyond the years 0 to 9999"),
    "last of all minutes": (np.array([2**63 - 1], "M8[m]"), "beyond the years 0 to 9999"),
    "file": ([io.BytesIO(b"x")], "type _io.BytesIO; decode it"),
    "long double that is none": (np.longdouble("nan"), "convert it to float64"),
    "key of a range": ({range(2): 3}, "a key of type range"),
    "key of a tuple": ({(1, 2): 3}, "a key of type tuple"),
    "key of a frozenset": ({frozenset(): 3}, "a key of type frozenset"),
    "key of bytes": ({b"a": 3}, "type bytes; decode it"),
    "keys that are the same": ({1: "a", "1": "b"}, "two of its keys"),
}

if pd is not None:
    hours = pd.date_range("2020-01-01", periods=2, freq="h", tz="Europe/Berlin")
    SENT |= {
        "Timestamp": (pd.Timestamp("2020-01-02 03:04"), '"2020-01-02T03:04:00"'),
        "Timestamp with nanoseconds": (pd.Timestamp("2020-01-02 03:04:05.123456789"), '"2020-01-02T03:04:05.123456"'),
        "Timestamp in a zone": (hours[0], '"2020-01-01T00:00:00+01:00"'),
        "Timedelta": (pd.Timedelta("1h"), '"0 days 01:00:00"'),
        "Period": (pd.Period("2020-01"), '"2020-01"'),
        "Interval": (pd.Interval(0, 1), '"(0, 1]"'),
        "Index": (pd.Index([1, 2]), "[1,2]"),
        "RangeIndex": (pd.RangeIndex(2), "[0,1]"),
        "DatetimeIndex": (hours, '["2020-01-01T00:00:00+01:00","2020-01-01T01:00:00+01:00"]'),
        "PeriodIndex": (pd.period_range("2020-01", periods=2, freq="M"), '["2020-01","2020-02"]'),
        "IntervalIndex": (pd.IntervalIndex.from_breaks([0, 1]), '["(0, 1]"]'),
        "Categorical": (pd.Categorical(["b", "a"]), '["b","a"]'),
        "pandas array": (pd.array([1, 2]), "[1,2]"),
        "pandas floats": (pd.array([0.5], dtype="Float32"), "[0.5]"),
        "pandas texts": (pd.array(["é"], dtype="string"), '["é"]'),
        "keys of Timestamps": ({pd.Timestamp("2020-01-02"): 0}, '{"2020-01-02T00:00:00":0}'),
    }
    NULLED |= {
        "pandas NaT": (pd.NaT, "null"),
        "pandas NA": (pd.NA, "null"),
        "pandas array with NA": (pd.array([1, None]), "[1,null]"),
        "pandas truth with NA": (pd.array([True, None]), "[true,null]"),
        "Categorical with nan": (pd.Categorical(["a", None]), '["a",null]'),
        "DatetimeIndex with NaT": (pd.DatetimeIndex(["2020-01-01", None]), '["2020-01-01T00:00:00",null]'),
        "TimedeltaIndex with NaT": (pd.TimedeltaIndex(["1h", None]), '["0 days 01:00:00",null]'),
    }
    REFUSED |= {
        "DataFrame": (pd.DataFrame({"a": [1]}), 'return frame.to_dict("records")'),
        "Timestamp of year 10000": (pd.Timestamp(np.datetime64("10000-01-01", "s")), "beyond the year 9999"),
    }

ALL = {**SENT, **NULLED, **REFUSED}

PLACES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a list": (lambda value: [value], "[{}]"),
    "a tuple": (lambda value: (value,), "[{}]"),
    "a deque": (lambda value: collections.deque([value]), "[{}]"),
    "a dict": (lambda value: {"a": value}, '{{"a":{}}}'),
    "a dict by number": (lambda value: {1: value}, '{{"1":{}}}'),
    "a dict by a surrogate": (lambda value: {"\ud800": value}, '{{"\\ud800":{}}}'),
    "a proxy": (lambda value: types.MappingProxyType({"a": value}), '{{"a":{}}}'),
    "a dataclass": (Box, '{{"b":{},"a":null}}'),
    "beside null": (lambda value: [None, value], "[null,{}]"),
    "beside a large int": (lambda value: [value, 2**70], "[{}," + str(2**70) + "]"),
    "beside a surrogate": (lambda value: [value, "\ud800"], '[{},"\\ud800"]'),
    "beside an array": (lambda value: [value, np.float32([0.1])], "[{},[0.1]]"),
    "beside a set": (lambda value: [value, {1}], "[{},[1]]"),
    "beside the epoch": (lambda value: [value, datetime.datetime(1970, 1, 1)], '[{},"1970-01-01T00:00:00"]'),
    "deep": (lambda value: {"a": [({"b": value},)]}, '{{"a":[[{{"b":{}}}]]}}'),
}
