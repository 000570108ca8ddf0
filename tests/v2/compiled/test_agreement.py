"""A compiled schema and marshmallow always agree, over schemas and values that hypothesis makes up.

Of values of the right JSON types it takes exactly those that marshmallow takes; of any other value it takes none that
marshmallow refuses. What it gives is what marshmallow gives, to the order of keys and the sign of zero.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import Schema

from modelserve.v2.compiled import REFUSED, compile_schema
from tests.v2.compiled.drawn import WILD, schemas, spoiled
from tests.v2.compiled.same import same

_SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
few = settings(max_examples=200, **_SLOW)  # type: ignore[arg-type]
many = settings(max_examples=20_000, **_SLOW)  # type: ignore[arg-type]


def loaded(load: Callable[..., Any], value: Any) -> Any:
    """Return what a schema loads, REFUSED for anything that it raises; the validators of a wrong type raise much."""
    try:
        return load(value)
    except Exception:
        return REFUSED


def compiled(schema: Schema) -> Callable[[Any], Any]:
    load = compile_schema(schema)
    assert load is not None
    return load


def check_right_types(data: st.DataObject) -> None:
    schema, values = data.draw(schemas())
    value = data.draw(values)
    before = copy.deepcopy(value)
    ours, theirs = compiled(schema)(value), loaded(schema.load, value)
    assert same(ours, theirs), (ours, theirs)
    assert same(value, before)


def check_any_types(data: st.DataObject) -> None:
    schema, values = data.draw(schemas())
    value = data.draw(values.flatmap(spoiled))
    ours = compiled(schema)(value)
    if ours is not REFUSED:
        theirs = loaded(schema.load, value)
        assert same(ours, theirs), (ours, theirs)


@few
@given(st.data())
def test_values_of_the_right_types_are_taken_or_refused_as_marshmallow_does(data: st.DataObject) -> None:
    check_right_types(data)


@few
@given(st.data())
def test_what_is_taken_of_values_with_a_wrong_type_in_them_marshmallow_takes_too(data: st.DataObject) -> None:
    check_any_types(data)


@few
@given(schemas(), st.sampled_from(WILD))
def test_what_is_no_object_is_taken_only_where_marshmallow_takes_it(drawn: Any, value: Any) -> None:
    ours = compiled(drawn.made)(value)
    assert ours is REFUSED or same(ours, drawn.made.load(value))


@pytest.mark.soak
@many
@given(st.data())
def test_values_of_the_right_types_are_taken_or_refused_as_marshmallow_does_in_many_schemas(
    data: st.DataObject,
) -> None:
    check_right_types(data)


@pytest.mark.soak
@many
@given(st.data())
def test_what_is_taken_of_wrong_types_in_many_schemas_marshmallow_takes_too(data: st.DataObject) -> None:
    check_any_types(data)
