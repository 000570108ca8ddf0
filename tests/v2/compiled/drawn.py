"""Schemas and values that hypothesis makes up.

schemas() --> Drawn(schema, values of the right JSON types, where only a validator may say no)
spoiled(value) --> the value with something in it replaced, added or left out
"""

from __future__ import annotations

import decimal
import enum
import string
from collections.abc import Callable
from typing import Any, NamedTuple

import marshmallow
import numpy as np
from hypothesis import strategies as st
from marshmallow import EXCLUDE, INCLUDE, RAISE, Schema, validate

from modelserve.v2 import fields

MAX_DEPTH = 3


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 0


class Text(str):
    pass


class Drawn(NamedTuple):
    """A field or schema, and values that have the JSON types it is for."""

    made: Any
    values: st.SearchStrategy[Any]


WILD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 2**1023, 10**400, 1.0, -0.0, 1.5, 1e308, float("nan"), float("inf")),
    *("", "1", " 1 ", "1.5", "1_0", "nan", "inf", "true", "off", "RED", "a", "é", "\ud800", "9" * 5000, "1,2"),
    *(b"1", (), (1,), [], [1], [None], [[1.0]], {}, {"a": 1}, {1: 2}, {"x": None}, {1}, frozenset()),
    *(np.float64(1), np.int64(1), np.eye(2), decimal.Decimal(1), Level.LOW, Colour.RED, Text("1"), object(), int),
    *(marshmallow.missing, type("Keys", (dict,), {})(a=1), type("Items", (list,), {})([1])),
]

_NUMBERS = st.one_of(st.integers(-5, 5), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
_TEXTS = st.one_of(st.text("ab1", max_size=3), st.text(max_size=5))
_NAMES = st.one_of(
    st.sampled_from(["x", "y", "z", "a b", "é", "class", "1", ""]), st.text(string.ascii_letters, max_size=3)
)
_UNKNOWN = st.sampled_from([None, RAISE, EXCLUDE, INCLUDE])


def _bounds(draw: Any) -> dict[str, Any]:
    limits = st.none() | st.integers(-5, 5) | st.floats(-5, 5)
    inclusive = {"min_inclusive": draw(st.booleans()), "max_inclusive": draw(st.booleans())}
    return {"min": draw(limits), "max": draw(limits), **inclusive}


_VALIDATORS: dict[str, Callable[[Any], Any]] = {
    "range": lambda draw: validate.Range(**_bounds(draw)),
    "one_of": lambda draw: validate.OneOf(draw(st.lists(st.integers(-5, 5) | _TEXTS, max_size=8))),
    "none_of": lambda draw: validate.NoneOf(draw(st.lists(st.integers(-5, 5) | _TEXTS, max_size=4))),
    "equal": lambda draw: validate.Equal(draw(st.integers(-2, 2) | st.text("ab", max_size=1))),
    "length": lambda draw: validate.Length(
        min=draw(st.none() | st.integers(0, 2)), max=draw(st.none() | st.integers(1, 4))
    ),
    "regexp": lambda draw: validate.Regexp(draw(st.sampled_from(["a", "[ab]*$", r"\d"]))),
    "contains": lambda draw: validate.ContainsOnly(draw(st.sampled_from(["ab1", [1, 2, 3]]))),
    "and": lambda draw: validate.And(validate.Range(min=draw(st.integers(-9, 0))), validate.NoneOf([3])),
}
_FITTING = {
    "number": ("range", "one_of", "none_of", "equal", "and"),
    "text": ("length", "one_of", "none_of", "equal", "regexp", "contains"),
    "items": ("length", "contains"),
    "any": ("none_of",),
}


def _options(draw: Any, kind: str, defaults: st.SearchStrategy[Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        names = st.sampled_from([*_FITTING[kind]] * 9 + [*_VALIDATORS])  # seldom one that the type is not for
        chosen = draw(st.lists(names, min_size=1, max_size=2))
        options["validate"] = [_VALIDATORS[name](draw) for name in chosen]
    if draw(st.booleans()):
        options["allow_none"] = draw(st.booleans())
    default = draw(defaults)
    said = draw(st.sampled_from([{}, {"required": True}, {"load_default": default}, {"load_default": lambda: default}]))
    options.update(said)
    return options


def _leaves() -> dict[str, tuple[Callable[..., Any], str, st.SearchStrategy[Any]]]:
    whole = st.one_of(st.integers(-5, 5), st.integers())
    return {
        "int": (fields.Int, "number", whole),
        "strict": (lambda **options: fields.Int(strict=True, **options), "number", whole),
        "float": (fields.Float, "number", _NUMBERS),
        "nan": (lambda **options: fields.Float(allow_nan=True, **options), "number", _NUMBERS | st.floats()),
        "bool": (fields.Bool, "any", st.booleans()),
        "yes": (lambda **options: fields.Bool(truthy={"yes", 2}, falsy={"no"}, **options), "any", st.just("no")),
        "str": (fields.Str, "text", _TEXTS),
        "raw": (fields.Raw, "any", st.integers() | _TEXTS | st.lists(st.integers(), max_size=2)),
        "enum": (lambda **options: fields.Enum(Colour, **options), "any", st.sampled_from(["RED", "BLUE"])),
        "date": (fields.Date, "any", st.dates().map(str)),
        "decimal": (fields.Decimal, "number", st.integers(-5, 5).map(str)),
        "email": (fields.Email, "text", st.sampled_from(["a@b.ch", "a"])),
        "array": (
            lambda **options: fields.NDArray(dtype="f4", **options),
            "items",
            st.lists(st.integers(0, 9), max_size=3),
        ),
    }


LEAVES = _leaves()


@st.composite
def drawn_fields(draw: Any, depth: int) -> Drawn:
    """Draw a field with the rules of its own, and what may stand inside it."""
    containers = ["list", "tuple", "dict", "nested", "nested"] if depth else []
    kind = draw(st.sampled_from([*LEAVES, *containers]))
    if kind in LEAVES:
        make, rules, values = LEAVES[kind]
    else:
        rules = "any" if kind == "nested" else "items"
        make, values = _CONTAINERS[kind](draw, depth)
    options = _options(draw, rules, values)
    if options.get("allow_none") or options.get("load_default", 0) is None:
        values = values | st.none()
    return Drawn(make(**options), values)


def _list(draw: Any, depth: int) -> Drawn:
    inner = draw(drawn_fields(depth - 1))
    kind = draw(st.sampled_from([fields.List, marshmallow.fields.List]))
    return Drawn(lambda **options: kind(inner.made, **options), st.lists(inner.values, max_size=4))


def _tuple(draw: Any, depth: int) -> Drawn:
    inner = draw(st.lists(drawn_fields(depth - 1), max_size=3))
    values = st.tuples(*(each.values for each in inner)).map(list)
    return Drawn(lambda **options: fields.Tuple([each.made for each in inner], **options), values)


def _dict(draw: Any, depth: int) -> Drawn:
    keys = draw(st.sampled_from([None, fields.Str(), fields.Int(), fields.Raw(validate=validate.Length(max=2))]))
    inner = draw(st.none() | drawn_fields(depth - 1))
    names = st.integers(-9, 9).map(str) if isinstance(keys, fields.Int) else st.text("ab", max_size=2)
    values = st.dictionaries(names, inner.values if inner else st.integers(), max_size=3)
    return Drawn(lambda **options: fields.Dict(keys=keys, values=inner and inner.made, **options), values)


def _nested(draw: Any, depth: int) -> Drawn:
    schema = draw(schemas(depth - 1))
    unknown = draw(_UNKNOWN)
    many = draw(st.booleans())
    nested = schema.made if draw(st.booleans()) and not many else type(schema.made)
    values = st.lists(schema.values, max_size=3) if many else schema.values
    return Drawn(lambda **options: fields.Nested(nested, many=many, unknown=unknown, **options), values)


_CONTAINERS = {"list": _list, "tuple": _tuple, "dict": _dict, "nested": _nested}


@st.composite
def schemas(draw: Any, depth: int = MAX_DEPTH) -> Drawn:
    """Draw a schema with up to four fields, and objects that give all or some of them, and sometimes more."""
    inner = draw(st.dictionaries(_NAMES.filter(lambda name: name not in vars(Schema)), drawn_fields(depth), max_size=4))
    names: dict[str, str] = {}
    for number, (name, field) in enumerate(inner.items()):
        field.made.data_key = draw(st.sampled_from([None, None, f"key {number}"]))
        field.made.attribute = draw(st.sampled_from([None, None, None, f"attribute {number}"]))
        field.made.load_only, field.made.dump_only = draw(
            st.sampled_from([(False, False)] * 8 + [(True, False), (False, True)])
        )
        if not field.made.dump_only:
            names[name] = field.made.data_key or name
    meta = type("Meta", (), {"register": False, "unknown": draw(_UNKNOWN) or RAISE})
    made = type("Made", (Schema,), {**{name: field.made for name, field in inner.items()}, "Meta": meta})()
    given = {names[name]: inner[name].values for name in names}
    needed = {wire: values for wire, values in given.items() if draw(st.integers(0, 5))}
    optional = {wire: values for wire, values in given.items() if wire not in needed}
    values = st.fixed_dictionaries(needed, optional=optional)
    return Drawn(
        made,
        values
        if draw(st.integers(0, 3))
        else st.builds(lambda a, b: {**b, **a}, values, st.dictionaries(_NAMES, _NUMBERS, max_size=2)),
    )


@st.composite
def spoiled(draw: Any, value: Any) -> Any:
    """Draw a copy of the value in which one thing is another."""
    inside = isinstance(value, dict | list) and len(value) and draw(st.integers(0, 4))
    if isinstance(value, dict) and inside:
        key = draw(st.sampled_from(list(value)))
        if draw(st.integers(0, 5)) == 0:
            return {each: item for each, item in value.items() if each != key}
        return {**value, key: draw(spoiled(value[key]))}
    if isinstance(value, list) and inside:
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(spoiled(value[place])), *value[place + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(_NAMES): draw(st.sampled_from(WILD))}
    return draw(st.sampled_from(WILD))
