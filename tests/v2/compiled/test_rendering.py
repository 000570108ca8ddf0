"""Answers are sent, byte for byte, and refused as they would be if marshmallow validated all of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import Schema

from modelserve.errors import BadAnswer
from modelserve.v2 import fields
from modelserve.v2.all_fields import all_fields
from modelserve.v2.answer_schema import answer_schema
from modelserve.v2.answers import Renderer
from modelserve.v2.plain import dump
from modelserve.v2.whole_numbers import refuse_fractions
from tests.v2.compiled.drawn import schemas, spoiled

JSON = "application/json"


def sent(schema: Schema, value: Any) -> bytes | None:
    """Return what the renderer sends, None where it refuses."""
    try:
        return Renderer(schema).render(1, value, JSON).body
    except BadAnswer:
        return None


def is_valid(schema: Schema, value: Any) -> bool:
    try:
        return not schema.validate(value)
    except Exception:  # a validator that is not for values of this type
        return False


def with_arrays(value: Any) -> Any:
    """Return the value with numpy's arrays and numbers where models leave them."""
    if isinstance(value, dict):
        return {key: with_arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        numbers = value and {*map(type, value)} <= {int, float} and all(abs(each) < 2**31 for each in value)
        return np.array(value) if numbers else [with_arrays(each) for each in value]
    return np.float64(value) if type(value) is float else value


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_what_is_sent_is_valid_and_what_is_valid_is_sent(data: st.DataObject) -> None:
    schema, values = data.draw(schemas())
    value = data.draw(values | values.flatmap(spoiled) | values.map(with_arrays))
    reference = answer_schema(schema)
    assert reference is not None
    refuse_fractions(reference)
    body = sent(schema, value)
    if body is not None:
        document = json.loads(body)
        assert is_valid(reference, document)
        again = sent(schema, document)
        assert again is not None
        assert json.loads(again) == document
        return
    try:
        text = json.loads(dump(value))
    except Exception:
        return
    assert not is_valid(reference, text) or is_of_no_booleans(reference)


def is_of_no_booleans(schema: Schema) -> bool:
    """Tell whether a field takes other words for true and false than those, which are then never sent."""
    return any(isinstance(each, fields.Bool) and True not in each.truthy for each in all_fields(schema))


def test_common_answers_are_sent_without_marshmallow() -> None:
    """Plain ones by what they are, arrays by their text."""
    schema = Schema.from_dict({"y": fields.List(fields.Float(), required=True), "n": fields.Int()})()
    renderer = Renderer(schema)
    assert renderer.schema is not None
    renderer.schema.validate = None  # type: ignore[method-assign, assignment]
    assert renderer.render(1, {"y": [1.5], "n": 2}, JSON).body == b'{"y":[1.5],"n":2}'
    assert renderer.render(1, {"y": np.array([1.5]), "n": np.int64(2)}, JSON).body == b'{"y":[1.5],"n":2}'
    assert renderer.render(1, b'{"y": [1]}', JSON).body == b'{"y": [1]}'


def test_a_lone_surrogate_is_left_to_marshmallow() -> None:
    schema = Schema.from_dict({"s": fields.Str(), "a": fields.List(fields.Int())})()
    assert sent(schema, {"s": "\ud800", "a": np.arange(2)}) == b'{"s":"\\ud800","a":[0,1]}'
    assert sent(schema, {"s": "\ud800", "a": "x"}) is None
