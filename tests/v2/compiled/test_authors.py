"""What is compiled and what is left to marshmallow: wherever code of the model's author would run, all of it is."""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Any

import marshmallow
import pytest
from marshmallow import (
    INCLUDE,
    Schema,
    SchemaOpts,
    post_dump,
    post_load,
    pre_load,
    validate,
    validates,
    validates_schema,
)

from modelserve.v2 import fields
from modelserve.v2.compiled import REFUSED, compile_schema
from tests.v2.compiled.same import same

MARSHMALLOW_3 = not hasattr(Schema, "dict_class") or isinstance(vars(Schema)["dict_class"], property)


class Plain(Schema):
    x = fields.Int(required=True)


class Remembers(Plain):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remembered = True


class DumpsMore(Plain):
    @post_dump
    def more(self, data: Any, **kwargs: Any) -> Any:
        return {**data, "y": 1}


class Before(Plain):
    @pre_load
    def before(self, data: Any, **kwargs: Any) -> Any:
        return data


class After(Plain):
    @post_load
    def after(self, data: Any, **kwargs: Any) -> Any:
        return tuple(data.values())


class OneField(Plain):
    @validates("x")
    def check(self, value: Any, **kwargs: Any) -> None:
        raise marshmallow.ValidationError("never")


class AllFields(Plain):
    @validates_schema
    def check(self, data: Any, **kwargs: Any) -> None:
        raise marshmallow.ValidationError("never")


class Inherits(AllFields):
    pass


class Binds(Plain):
    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        field_obj.allow_none = True


class Handles(Plain):
    def handle_error(self, error: Any, data: Any, **kwargs: Any) -> None:
        raise RuntimeError


class Gets(Plain):
    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return default


class Loads(Plain):
    def load(self, *args: Any, **kwargs: Any) -> Any:
        return 1


class Options(Plain):
    class Opts(SchemaOpts):
        pass

    OPTIONS_CLASS = Opts


class Meta(type(Schema)):  # type: ignore[misc]
    pass


class OtherMeta(Plain, metaclass=Meta):
    pass


class OtherDict(Plain):
    dict_class = OrderedDict


class MyInt(fields.Int):
    pass


class Itself(Schema):
    inner = fields.Nested(lambda: Itself())


class Spoken(enum.EnumMeta):
    pass


class Colour(enum.Enum, metaclass=Spoken):
    RED = 1


def loud(value: Any) -> Any:
    return value


def schema(**declared: Any) -> Schema:
    return Schema.from_dict(declared)()


def with_method(name: str) -> Schema:
    made = Plain()
    setattr(made, name, loud)
    return made


def with_field_method(name: str) -> Schema:
    field = fields.Int()
    setattr(field, name, loud)
    return schema(x=field)


@pytest.mark.parametrize(
    "left",
    [Before, After, OneField, AllFields, Inherits, Binds, Handles, Gets, Loads, Options, OtherMeta, OtherDict, Itself],
)
def test_a_schema_with_code_of_its_own_is_left_to_marshmallow(left: type[Schema]) -> None:
    assert compile_schema(left()) is None
    assert compile_schema(schema(a=fields.List(fields.Nested(left)))) is None
    assert compile_schema(schema(a=fields.Dict(values=fields.Nested(left)))) is None


@pytest.mark.parametrize("kept", [Plain, Remembers, DumpsMore])
def test_what_does_not_load_does_not_count(kept: type[Schema]) -> None:
    load = compile_schema(kept())
    assert load is not None
    assert load({"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    "field",
    [
        MyInt(),
        fields.Int(validate=loud),
        fields.List(fields.Int(validate=[validate.Range(1), loud])),
        fields.Int(validate=validate.And(validate.Range(1), loud)),
        fields.Date(validate=loud),
        fields.Int(attribute="a.b"),
        fields.Function(deserialize=loud),
        fields.Method(),
        fields.Pluck(Plain, "x"),
        fields.Nested("NoSuchSchema"),
        fields.Bool(truthy=set()),
        fields.Enum(Colour),
        fields.Enum(Colour, by_value=True),
        fields.Constant(1, required=True),
    ],
)
def test_a_field_that_is_not_known_through_and_through_is_left_to_marshmallow(field: Any) -> None:
    assert compile_schema(schema(x=field, y=fields.Int())) is None


@pytest.mark.skipif(MARSHMALLOW_3, reason="marshmallow has them since 4.3")
@pytest.mark.parametrize("option", ["pre_load", "post_load"])
def test_a_field_with_functions_of_its_own_is_left_to_marshmallow(option: str) -> None:
    options: dict[str, Any] = {option: loud}
    assert compile_schema(schema(x=fields.Int(**options))) is None


@pytest.mark.parametrize("name", ["load", "_do_load", "_deserialize", "handle_error"])
def test_a_method_replaced_on_a_schema_is_seen(name: str) -> None:
    assert compile_schema(with_method(name)) is None


@pytest.mark.parametrize("name", ["deserialize", "_deserialize", "_validate", "_validated"])
def test_a_method_replaced_on_a_field_is_seen(name: str) -> None:
    assert compile_schema(with_field_method(name)) is None


def test_partial_loading_and_two_fields_of_one_name_are_left_to_marshmallow() -> None:
    assert compile_schema(Plain(partial=True)) is None
    assert compile_schema(Plain(partial=("x",))) is None
    twice = {name: fields.Int(data_key="x", load_only=True) for name in "ab"}
    assert compile_schema(schema(**twice)) is None


def test_a_field_of_many_with_a_schema_of_one_is_left_to_marshmallow() -> None:
    """So it is in marshmallow 3 where a field of many is given an instance."""
    made = schema(x=fields.Nested(Plain))
    field: Any = made.fields["x"]
    assert not field.schema.many
    field.many = True
    assert compile_schema(made) is None


@pytest.mark.parametrize("declared", [fields.Dict(), fields.DelimitedList(fields.Int()), fields.List(fields.Int())])
def test_what_is_no_such_container_is_refused(declared: Any) -> None:
    load = compile_schema(schema(x=declared))
    assert load is not None
    assert load({"x": 1}) is REFUSED


def test_a_schema_nested_too_deeply_is_left_to_marshmallow() -> None:
    inner: Any = fields.Int()
    for _ in range(20):
        inner = fields.Nested({"inner": inner})
    assert compile_schema(schema(inner=inner)) is None


@pytest.mark.skipif(not MARSHMALLOW_3, reason="marshmallow 4 has no context")
@pytest.mark.filterwarnings("ignore:The `context` parameter")
def test_a_schema_with_a_context_is_left_to_marshmallow() -> None:
    assert compile_schema(Plain(context={"a": 1})) is None  # type: ignore[call-arg, unused-ignore]


@pytest.mark.filterwarnings("ignore:`Field` should not be instantiated")
def test_a_file_declared_as_deepaas_does_is_loaded_without_marshmallow() -> None:
    load = compile_schema(schema(x=fields.Field(metadata={"type": "file"})))
    assert load is not None
    assert load({"x": [1]}) == {"x": [1]}
    assert load({"x": None}) is REFUSED


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (fields.Int(), "7"),
        (fields.Float(), "7.5"),
        (fields.Bool(), "true"),
        (fields.List(fields.Int()), ["1", 2]),
        (fields.List(fields.Float()), ["1", 2, 2.5]),
        (fields.DelimitedList(fields.Int()), "1,2"),
        (fields.DelimitedList(fields.Str()), ""),
        (fields.DelimitedList(fields.Float(validate=validate.Range(1))), "1,2.5"),
        (fields.Constant(3), 4),
        (fields.DateTime(), "2026-01-01T00:00:00"),
        (fields.UUID(), "12345678123456781234567812345678"),
        (fields.Url(), "https://example.org"),
        (fields.NDArray(dtype="float32", shape=(None, 2)), [[1, 2]]),
        (fields.Nested(Plain(many=True)), [{"x": 1}]),
        (fields.Nested(Plain, unknown=INCLUDE), {"x": 1, "b": 2, "a": 3}),
        (fields.Dict(keys=fields.Int()), {"1": "a", "01": "b"}),
        (fields.Int(allow_none=True, validate=validate.Range(1, 2)), None),
        (fields.List(fields.Int(validate=validate.Range(1, 2, max_inclusive=False))), [1, 1]),
        (fields.List(fields.List(fields.Float(validate=validate.Range(0, 1)))), [[0, 1], []]),
    ],
)
def test_what_is_common_is_loaded_without_marshmallow(declared: Any, value: Any) -> None:
    made = schema(x=declared)
    load = compile_schema(made)
    assert load is not None
    loaded = load({"x": value})
    assert loaded is not REFUSED
    assert same(loaded, made.load({"x": value}))


def test_only_and_exclude_of_nested_schemas_count() -> None:
    class Wide(Schema):
        a = fields.Int(required=True)
        b = fields.Int(required=True)

    made = schema(x=fields.Nested(Wide, only=("a",)), y=fields.List(fields.Nested(Wide, exclude=("a",))))
    load = compile_schema(made)
    assert load is not None
    assert load({"x": {"a": 1}, "y": [{"b": 2}]}) == {"x": {"a": 1}, "y": [{"b": 2}]}
    assert load({"x": {"a": 1, "b": 2}}) is REFUSED


def test_a_default_is_the_very_object_or_where_that_can_be_changed_made_anew() -> None:
    default, fixed = [1], object()
    z = fields.Raw(load_default=fixed)
    load = compile_schema(schema(x=fields.Raw(load_default=default), y=fields.Raw(load_default=list), z=z))
    assert load is not None
    one, two = load({}), load({})
    assert one["x"] == two["x"] == default
    assert one["x"] is not two["x"] is not default
    assert one["z"] is two["z"] is fixed
    assert one["y"] == two["y"] == []
    assert one["y"] is not two["y"]


def test_a_default_that_fails_and_a_validator_that_chokes_are_refusals() -> None:
    load = compile_schema(schema(x=fields.Raw(load_default=lambda: 1 / 0), y=fields.Raw(validate=validate.Range(1))))
    assert load is not None
    assert load({"x": 1, "y": 2}) == {"x": 1, "y": 2}
    assert load({}) is REFUSED
    assert load({"x": 1, "y": "a"}) is REFUSED
    assert repr(REFUSED) == "REFUSED"


def test_lists_given_to_the_model_are_its_own() -> None:
    given = {"a": [1.5], "b": [1], "c": {"d": 1}, "e": ["a"]}
    made = schema(
        a=fields.List(fields.Float()), b=fields.List(fields.Int()), c=fields.Dict(), e=fields.List(fields.Str())
    )
    load = compile_schema(made)
    assert load is not None
    loaded = load(given)
    assert loaded == given
    assert not any(loaded[name] is given[name] for name in given)


def test_unknown_overrules_what_the_schema_says() -> None:
    load = compile_schema(Plain(unknown=INCLUDE), "exclude")
    assert load is not None
    assert load({"x": 1, "y": 2}) == {"x": 1}
