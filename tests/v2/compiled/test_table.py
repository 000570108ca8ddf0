"""Every field in every place it may stand, with each wild value: what hypothesis would find, but not every time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from marshmallow import Schema, validate

from modelserve.v2 import fields
from modelserve.v2.compiled import REFUSED, compile_schema
from tests.v2.compiled.drawn import LEAVES, WILD
from tests.v2.compiled.same import same

PLACES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], list[Any]]]] = {
    "alone": (lambda field: field, lambda value: [value]),
    "list": (fields.List, lambda value: [[value], [value, value], (value,)]),
    "tuple": (lambda field: fields.Tuple((field, fields.Raw())), lambda value: [[value, 1], [value], [value, 1, 2]]),
    "values": (lambda field: fields.Dict(values=field), lambda value: [{"a": value}]),
    "nested": (lambda field: fields.Nested({"y": field}), lambda value: [{"y": value}, [{"y": value}]]),
    "many": (lambda field: fields.Nested({"y": field}, many=True), lambda value: [[{"y": value}], {"y": value}]),
}
RULES: list[dict[str, Any]] = [
    {},
    {"allow_none": True},
    {"required": True},
    {"load_default": 1},
    {"validate": validate.Range(min=0, max=1)},
    {"validate": validate.OneOf([1, "1", True])},
    {"validate": [validate.Length(min=1), validate.NoneOf([2])]},
]


class Both:
    """A schema, loaded by itself and compiled."""

    def __init__(self, **declared: Any) -> None:
        self._schema = Schema.from_dict(declared)()
        self._load = compile_schema(self._schema)

    def __call__(self, value: Any) -> tuple[Any, Any]:
        """Return what the compiled schema gives, and marshmallow, where REFUSED is any exception."""
        assert self._load is not None
        try:
            theirs = self._schema.load(value)
        except Exception:  # a validator raises what it likes over a value it is not for
            theirs = REFUSED
        return self._load(value), theirs


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("leaf", LEAVES)
def test_no_wild_value_is_taken_otherwise_than_by_marshmallow(leaf: str, place: str) -> None:
    within, values = PLACES[place]
    for rules in RULES:
        both = Both(x=within(LEAVES[leaf][0](**rules)))
        for value in itertools.chain.from_iterable(map(values, WILD)):
            ours, theirs = both({"x": value})
            assert ours is REFUSED or same(ours, theirs), (rules, value, ours, theirs)


@pytest.mark.parametrize("kind", [fields.Int, fields.Float])
@pytest.mark.parametrize("bounds", [(-1, 1), (None, 1), (-1, None), (None, None), (-0.5, 0.5)])
@pytest.mark.parametrize("inclusive", [(True, True), (True, False), (False, True), (False, False)])
def test_ranges_end_where_marshmallows_do(kind: Any, bounds: tuple[Any, Any], inclusive: tuple[bool, bool]) -> None:
    rule = validate.Range(*bounds, min_inclusive=inclusive[0], max_inclusive=inclusive[1])
    both = Both(x=kind(validate=rule), xs=fields.List(kind(validate=rule)))
    numbers = [-2, -1, 0, 1, 2] if kind is fields.Int else [-1.0, -0.5, 0, 0.5, 1]
    for value in numbers:
        ours, theirs = both({"x": value})
        assert same(ours, theirs), value
    for items in itertools.product(numbers, repeat=3):
        ours, theirs = both({"xs": list(items)})
        assert same(ours, theirs), items


@pytest.mark.parametrize("kind", [fields.Int, fields.Float])
@pytest.mark.parametrize("length", [{"min": 1}, {"max": 2}, {"equal": 2}, {"min": 1, "max": 2}])
def test_lengths_end_where_marshmallows_do(kind: Any, length: dict[str, Any]) -> None:
    both = Both(xs=fields.List(kind(), validate=validate.Length(**length)))
    for count in range(4):
        ours, theirs = both({"xs": [1] * count})
        assert same(ours, theirs), count


def test_large_finite_numbers_are_no_infinity_together() -> None:
    both = Both(xs=fields.List(fields.Float()))
    for items in ([1e308] * 3, [1e308, -1e308], [1e308, 1e308, float("inf")], [float("inf"), float("-inf")], [10**400]):
        ours, theirs = both({"xs": items})
        assert same(ours, theirs), items


@pytest.mark.parametrize("unknown", ["raise", "exclude", "include"])
def test_undeclared_keys_keep_marshmallows_order(unknown: Any) -> None:
    both = Both(n=fields.Nested({"b": fields.Int()}, unknown=unknown))
    for count in range(1, 12):
        data = dict.fromkeys("mcbxaqzplkw"[:count], 1)
        ours, theirs = both({"n": data})
        assert same(ours, theirs), data
