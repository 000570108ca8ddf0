"""Lists that stop at what is wrong: the same as marshmallow's where all is right, less where much is wrong."""

from __future__ import annotations

from inspect import signature
from typing import Any

import marshmallow
import pytest
from marshmallow import ValidationError, post_load, validate, validates_schema

from modelserve.v2 import fields
from modelserve.v2.lists import SLICE_ITEMS

MANY = 3 * SLICE_ITEMS + 1
STOPPED = ["Further items were not checked."]
# What marshmallow 4 and 3 call it that a hook is given all items at once.
WHOLE: dict[str, Any] = {
    ("pass_collection" if "pass_collection" in signature(validates_schema).parameters else "pass_many"): True
}


class Item(marshmallow.Schema):
    a = fields.Int(required=True)


class Point(Item):
    @post_load
    def _made(self, data: dict[str, Any], **kwargs: Any) -> int:
        return int(data["a"])


def messages(field: Any, value: Any) -> dict[Any, Any]:
    with pytest.raises(ValidationError) as caught:
        field.deserialize(value)
    assert isinstance(caught.value.messages, dict)
    return caught.value.messages


@pytest.mark.parametrize("count", [0, 1, SLICE_ITEMS, SLICE_ITEMS + 1, MANY])
def test_what_is_right_is_loaded_whole_and_in_order(count: int) -> None:
    numbers = list(range(count))
    texts = [str(number) for number in numbers]
    items = [{"a": number} for number in numbers]
    assert fields.List(fields.Int()).deserialize(texts) == numbers
    assert fields.DelimitedList(fields.Int()).deserialize(",".join(texts)) == numbers
    assert fields.Nested(Item, many=True).deserialize(items) == items
    assert fields.Nested(Point(many=True)).deserialize(items) == numbers


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        (fields.List(fields.Int()), "x", 1),
        (fields.List(fields.Nested(Item)), {}, {"a": 1}),
        (fields.Nested(Item, many=True), {}, {"a": 1}),
        (fields.Nested({"a": fields.Int(required=True)}, many=True), {}, {"a": 1}),
    ],
)
def test_a_wrong_item_is_told_by_its_place_and_the_items_after_its_thousand_are_not(
    field: Any, wrong: Any, right: Any
) -> None:
    """FAULTS D27."""
    at = SLICE_ITEMS + 7
    value = [right] * at + [wrong, right, wrong] + [right] * SLICE_ITEMS + [wrong]
    found = messages(field, value)
    assert list(found) == [at, at + 2, "_schema"]
    assert found["_schema"] == STOPPED
    assert messages(field, value[: at + 3]).keys() == {at, at + 2}


def test_a_delimited_list_stops_too() -> None:
    """FAULTS D27."""
    found = messages(fields.DelimitedList(fields.Int()), "x," * MANY)
    assert len(found) == SLICE_ITEMS + 1
    assert found["_schema"] == STOPPED


def test_a_schema_that_looks_at_all_items_is_given_all() -> None:
    class Unique(Item):
        @validates_schema(**WHOLE)
        def _all_different(self, data: Any, **kwargs: Any) -> None:
            if len({item["a"] for item in data}) < len(data):
                raise ValidationError("All must be different.")

    twice = [{"a": number} for number in (*range(MANY), 0)]
    assert messages(fields.Nested(Unique, many=True), twice) == {"_schema": ["All must be different."]}


def test_what_a_schema_says_of_all_items_is_kept_beside() -> None:
    class Named(Item):
        class Meta:
            index_errors = False

    found = messages(fields.Nested(Named, many=True), [{}] * MANY)
    assert found.keys() == {"a", "_schema"}


@pytest.mark.parametrize("value", ["text", 3, {"a": 1}])
def test_what_is_no_list_is_refused_as_ever(value: Any) -> None:
    assert messages_of_one(fields.List(fields.Int()), value) == ["Not a valid list."]
    assert fields.Nested(Item).deserialize({"a": 1}) == {"a": 1}
    assert "_schema" in messages(fields.Nested(Item), [{"a": 1}] * MANY)


def messages_of_one(field: Any, value: Any) -> Any:
    with pytest.raises(ValidationError) as caught:
        field.deserialize(value)
    return caught.value.messages


def test_validators_are_given_the_whole_list() -> None:
    field = fields.List(fields.Int(), validate=validate.Length(max=MANY - 1))
    assert "maximum length" in messages_of_one(field, [1] * MANY)[0]
