"""Values as JSON: what is written how, and what is refused where."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import types
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.v2.plain import NotJsonError, dump, to_plain

UTC = datetime.UTC
Point = collections.namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    pass


class Stamp(datetime.datetime):
    """As pandas' Timestamp."""


class NotATime(datetime.datetime):
    """As pandas' NaT."""

    def __ne__(self, other: object) -> bool:
        return True


@dataclasses.dataclass
class Box:
    left: int
    scores: Any = None
    _hidden: int = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    left: float = math.pi
    later: int = dataclasses.field(init=False)


WRITTEN = {
    "a dict": ({"a": [1, 2.5, True, None, "x"]}, {"a": [1, 2.5, True, None, "x"]}),
    "a tuple": ((1, 2), [1, 2]),
    "a named tuple": (Point(1, None), [1, None]),
    "keys that are numbers": (
        {1: "a", 2.5: "b", None: "c", False: "d"},
        {"1": "a", "2.5": "b", "null": "c", "false": "d"},
    ),
    "keys of numpy and enums": ({np.int64(3): 1, Colour.RED: 2, Text("t"): 3}, {"3": 1, "red": 2, "t": 3}),
    "a date as key": ({datetime.date(2020, 1, 2): 1}, {"2020-01-02": 1}),
    "an array": (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
    "an array that is not contiguous": (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
    "an array of no dimensions": (np.array(3), 3),
    "an empty array": (np.zeros((0, 3)), []),
    "an array of texts": (np.array(["a", "b"]), ["a", "b"]),
    "an array of another byte order": (np.array([1, 2], dtype=">i4"), [1, 2]),
    "an array of objects": (np.array([1, "a", None], dtype=object), [1, "a", None]),
    "numpy's numbers": (
        [np.float16(1.5), np.float32(0.5), np.int8(-1), np.uint64(2**64 - 1)],
        [1.5, 0.5, -1, 2**64 - 1],
    ),
    "numpy's truth and text": ([np.bool_(True), np.str_("x")], [True, "x"]),
    "numpy's times": (np.array(["2020-01-01", "2020-01-02"], "M8[s]"), ["2020-01-01T00:00:00", "2020-01-02T00:00:00"]),
    "numpy's times, not contiguous": (
        np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]")[::2],
        ["2020-01-01T00:00:00", "2020-01-03T00:00:00"],
    ),
    "one of numpy's times in no dimension": (np.array("2020-01-01", "M8[D]"), "2020-01-01T00:00:00"),
    "another array": (array.array("d", [1.0, 2.0]), [1.0, 2.0]),
    "a time with its zone": (datetime.datetime(2020, 1, 2, 3, tzinfo=UTC), "2020-01-02T03:00:00+00:00"),
    "a subclass of datetime": (Stamp(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00+00:00"),
    "a day and an hour": ([datetime.date(2020, 1, 2), datetime.time(3, 4)], ["2020-01-02", "03:04:00"]),
    "a UUID": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "enums": ([Colour.RED, Level.LOW], ["red", 1]),
    "a dataclass": (Box(1), {"left": 1, "scores": None}),
    "a dataclass with slots": (Slotted(), {"left": math.pi}),
    "a mapping that is no dict": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "a subclass of str": (Text("x"), "x"),
    "an ordered dict": (collections.OrderedDict(a=1), {"a": 1}),
    "integers over 64 bits": ([2**64, -(2**63) - 1, 10**4000], [2**64, -(2**63) - 1, 10**4000]),
    "control characters": ({"\x00\x1b": "a\x00\n\u2028"}, {"\x00\x1b": "a\x00\n\u2028"}),
    "lone surrogates": ({"\udc00": "a\ud800"}, {"\udc00": "a\ud800"}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_written_as_documented(name: str) -> None:
    """FAULTS C03, C04, C05: integers of any size, any text, numpy and times by their rule."""
    value, read = WRITTEN[name]
    assert json.loads(dump(value)) == read
    assert json.loads(dump([value, None])) == [read, None], "as it is when the value is walked"
    assert json.loads(dump([value, 2**70])) == [read, 2**70], "as it is when orjson cannot write it"


def test_surrogates_are_escaped_so_that_the_body_is_utf8() -> None:
    """FAULTS C04: never a half-sent body."""
    assert dump("\ud800") == b'"\\ud800"'


def nested(levels: int, innermost: Any = 1) -> Any:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


def selfish() -> Any:
    value: dict[str, Any] = {}
    value["me"] = value
    return value


class Bottomless:
    def tolist(self) -> Any:
        return self.tolist()


class Endless:
    def tolist(self) -> Endless:
        return self


REFUSED = {
    "NaN": ({"a": [1, math.nan]}, "a[1]: NaN"),
    "infinity": (-math.inf, "the answer: NaN or infinity"),
    "NaN in an array": ({"a": np.array([[1.0, np.nan]])}, "a[0][1]: NaN"),
    "NaN of numpy": ([np.float32("inf")], "[0]: NaN"),
    "NaN in a dataclass": (Box(1, [math.nan]), "scores[0]: NaN"),
    "NaN in a mapping's copy": (types.MappingProxyType({"a": math.nan}), "a: NaN"),
    "NaN beside a null": ([None, None, math.nan], "[2]: NaN"),
    "NaN where keys are numbers": ({1: math.nan}, "1: NaN"),
    "NaN as a key": ({math.nan: 1}, "NaN"),
    "NaT": (np.datetime64("NaT"), "NaT"),
    "NaT in an array": ({"t": np.array(["NaT", "2020-01-01"], "M8[s]")}, "t[0]: NaT"),
    "NaT of pandas": ({"t": NotATime(2020, 1, 2)}, "t: NaT"),
    "a fraction of 5000 digits": (
        [fractions.Fraction(10**5000, 3)],
        "[0]: a fractions.Fraction of more than 4300 digits",
    ),
    "an integer of 5000 digits": ({"big": 10**5000}, "big: an integer of more than 4300 digits"),
    "a Decimal that is none": ({"price": decimal.Decimal("NaN")}, "price: NaN"),
    "an object in a set": ({"a": [{len}]}, "a[0]: type builtin_function_or_method"),
    "bytes": ({"a": b"x"}, "a: type bytes"),
    "a view of memory": ([memoryview(b"x")], "[0]: type memoryview"),
    "no length of time": ([np.timedelta64("NaT", "s")], "[0]: NaT"),
    "complex numbers that are none": ({"z": np.array([1j, math.nan])}, "z[1]: NaN"),
    "a long double": ([np.longdouble(1)], "[0]: numpy dtype"),
    "bytes of numpy": ([np.array([b"x"])], "[0]: numpy dtype |S1"),
    "a class": ([Box], "[0]: type type"),
    "a function": ([len], "[0]: type builtin_function_or_method"),
    "a key of a tuple": ({"a": {(1, 2): 3}}, "a: a key of type tuple"),
    "keys that are the same as text": ({1: "a", "1": "b"}, "two of its keys"),
    "itself": (selfish(), "nested deeper"),
    "itself for ever": (Endless(), "nested too deeply"),
    "a method without end": (Bottomless(), "nested too deeply"),
    "100,000 levels": (nested(100_000), "nested deeper"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_path(name: str) -> None:
    """FAULTS C02, C03, C05, C06: never invalid JSON, never a silent null, never the end of the stack."""
    value, message = REFUSED[name]
    with pytest.raises(NotJsonError) as caught:
        dump(value)
    assert message in str(caught.value)


def test_a_path_in_the_message_is_limited() -> None:
    with pytest.raises(NotJsonError) as caught:
        dump({"x" * 5000: len})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ([math.nan, 1.5], b"[null,1.5]"),
        (np.array([1.0, np.inf], dtype=np.float32), b"[1.0,null]"),
        ({1: math.nan}, b'{"1":null}'),
        ([2**70, -math.inf], b"[1180591620717411303424,null]"),
    ],
)
def test_nan_and_infinity_are_null_where_the_deployment_says_so(value: Any, body: bytes) -> None:
    """FAULTS C02: null by setting."""
    assert dump(value, "null") == body


def test_a_null_that_the_model_meant_is_no_nan() -> None:
    assert dump({"a": None, "b": np.array([1.5]), "c": "null"}) == b'{"a":null,"b":[1.5],"c":"null"}'


def test_what_orjson_writes_at_its_deepest_can_be_walked_too() -> None:
    value = nested(250, None)
    assert json.loads(dump(value)) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_every_json_value_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(dump(value)) == value
    assert to_plain(value) == value
