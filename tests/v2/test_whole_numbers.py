"""Whole numbers among arguments keep their value, or are refused."""

from __future__ import annotations

from typing import Any

import marshmallow
import pytest
import webargs.fields

from modelserve.errors import InvalidArguments
from modelserve.messages import Call
from modelserve.v2 import fields
from modelserve.v2.arguments import ArgumentParser


class Inner(marshmallow.Schema):
    n = marshmallow.fields.Integer()
    again = marshmallow.fields.Nested(lambda: Inner())


def declared() -> dict[str, Any]:
    return {
        "ours": fields.Int(),
        "theirs": webargs.fields.Int(),
        "list": fields.List(fields.Int()),
        "dict": fields.Dict(keys=fields.Str(), values=fields.Int()),
        "pair": fields.Tuple((fields.Str(), marshmallow.fields.Integer())),
        "nested": fields.Nested(Inner),
        "several": fields.Nested(Inner, many=True),
    }


def sent(name: str, form: str, number: str) -> Call:
    body = f'{{"{name}": {form.format(number)}}}'
    return Call(1, body=body.encode(), content_type="application/json")


PLACES: list[tuple[str, Any]] = [
    ("ours", "{}"),
    ("theirs", "{}"),
    ("list", "[1, {}]"),
    ("dict", '{{"a": {}}}'),
    ("pair", '["a", {}]'),
    ("nested", '{{"n": {}}}'),
    ("several", '[{{"n": {}}}]'),
    ("nested", '{{"again": {{"n": {}}}}}'),
    ("nested", '{{"again": {{"again": {{"again": {{"n": {}}}}}}}}}'),
]


@pytest.mark.parametrize(("name", "form"), PLACES)
@pytest.mark.parametrize("number", ["30.9", "-0.5", "2.5e-42", "0.9999999999999999"])
def test_a_number_with_a_fraction_is_no_whole_number_wherever_it_stands(name: str, form: str, number: str) -> None:
    parser = ArgumentParser(declared())
    with pytest.raises(InvalidArguments) as refused:
        parser.parse(sent(name, form, number))
    assert name in refused.value.fields


@pytest.mark.parametrize(("name", "form"), PLACES)
@pytest.mark.parametrize(("number", "value"), [("3", 3), ("3.0", 3), ("1e3", 1000), (f"{2**70}", 2**70)])
def test_a_whole_number_keeps_its_value(name: str, form: str, number: str, value: int) -> None:
    given = ArgumentParser(declared()).parse(sent(name, form, number)).values[name]
    while isinstance(given, dict | list | tuple):
        given = list(given.values())[-1] if isinstance(given, dict) else given[-1]
    assert given == value
    assert type(given) is int


@pytest.mark.parametrize(
    "field",
    [
        fields.TimeDelta(),
        fields.TimeDelta(precision="days"),
        fields.DateTime("timestamp"),
        fields.DateTime("timestamp_ms"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "-{}", "[{}]"])
def test_a_time_that_no_float_can_hold_is_refused(field: Any, form: str) -> None:
    parser = ArgumentParser({"at": fields.List(field) if form == "[{}]" else field})
    with pytest.raises(InvalidArguments) as refused:
        parser.parse(sent("at", form, "9" * 400))
    assert "at" in refused.value.fields
