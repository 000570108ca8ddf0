"""Schemas as each version of OpenAPI allows them; what apispec makes of fields is in test_describe."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
from typing import Any

import pytest

from modelserve.v2.plain import NotJsonError
from modelserve.v2.properties import json_safe, openapi, parameter, swagger


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        (decimal.Decimal("1.5"), 1.5),
        (decimal.Decimal(3), 3),
        (Colour.RED, "red"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        ((1, {2}), [1, [2]]),
        (2**64, float(2**64)),
        ("\ud800", "?"),
        ({1: "a", "b": len, "c": [len], "d": math.nan, "e": 10**400}, {"1": "a"}),
    ],
)
def test_what_json_and_msgpack_cannot_hold_is_turned_or_left_out(value: Any, safe: Any) -> None:
    assert json_safe(value) == safe


@pytest.mark.parametrize("value", [len, math.inf, b"x", decimal.Decimal("NaN")])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(NotJsonError):
        json_safe(value)


def test_what_holds_itself_is_left_out() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["me"] = loop
    assert json_safe({"x": loop})["x"]["a"] == 1


def test_old_words_become_those_of_3_1() -> None:
    given = {"type": "integer", "nullable": True, "example": 5, "minimum": 1, "exclusiveMinimum": True}
    assert openapi(given) == {"type": ["integer", "null"], "examples": [5], "exclusiveMinimum": 1}


def test_new_words_become_those_of_2_0() -> None:
    given = {"type": ["null", "integer"], "enum": [1, None], "default": None, "exclusiveMaximum": 9, "const": 1}
    assert openapi({"type": "number", "exclusiveMinimum": 1}) == {"type": "number", "exclusiveMinimum": 1}
    told = {"type": "integer", "enum": [1], "maximum": 9, "exclusiveMaximum": True, "x-nullable": True}
    assert swagger(given) == told
    assert swagger({"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}) == {
        "type": "array",
        "items": {"type": "number"},
    }


def test_it_goes_all_the_way_down() -> None:
    given = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "string", "example": "x"}}},
        "additionalProperties": {"type": "integer", "nullable": True},
        "anyOf": [{"example": 1}, 5],
    }
    told = openapi(given)
    assert told["properties"]["a"]["items"] == {"type": "string", "examples": ["x"]}
    assert told["additionalProperties"] == {"type": ["integer", "null"]}
    assert told["anyOf"] == [{"examples": [1]}]


@pytest.mark.parametrize(
    ("choices", "kind"),
    [(["a", "b"], "string"), ([1, 2], "integer"), ([1, "a"], None), ([1, 2.5], None), ([None], None)],
)
def test_choices_of_one_type_say_the_type(choices: list[Any], kind: str | None) -> None:
    assert openapi({"enum": choices}).get("type") == kind


def test_a_parameter_is_never_an_object() -> None:
    told = parameter("x", "query", True, {"$ref": "#/definitions/Box", "example": {"a": 1}})
    assert told == {
        "in": "query",
        "name": "x",
        "required": True,
        "type": "string",
        "description": "Given as JSON text.",
        "x-example": '{"a": 1}',
    }


def test_a_list_is_a_repeated_name_but_in_a_header() -> None:
    schema = {"type": "array", "items": {"type": "integer", "description": "one", "readOnly": True}}
    assert parameter("x", "formData", False, schema)["collectionFormat"] == "multi"
    assert parameter("x", "formData", False, schema)["items"] == {"type": "integer"}
    assert parameter("x", "header", False, schema)["collectionFormat"] == "csv"
