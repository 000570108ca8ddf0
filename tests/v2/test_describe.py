"""Descriptions: what is published of a model's arguments and answers, in OpenAPI 3.1 and in Swagger 2.0."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
import math
import types
import warnings
from typing import Any
from urllib.parse import urlencode

import marshmallow
import msgspec
import numpy as np
import pytest
import webargs.fields
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from marshmallow import validate
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator

from modelserve.cli.arguments import CallBuilder
from modelserve.errors import InvalidArguments
from modelserve.messages import Argument, Call, Description, FileRule
from modelserve.v2 import fields
from modelserve.v2.answer_schema import answer_schema
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.describe import describe


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Box(marshmallow.Schema):
    left = fields.Int(required=True)
    tag = fields.Str(allow_none=True, metadata={"example": "a"})


class Tree(marshmallow.Schema):
    name = fields.Str()
    children = fields.List(fields.Nested(lambda: Tree()))


def make(
    declared: Any = None, schema: Any = None, train_args: Any = None, nan_is_null: bool = False, **attributes: Any
) -> Description:
    attributes.setdefault("get_metadata", lambda: {"name": "m", "description": "d"})
    return describe(
        types.SimpleNamespace(**attributes),
        name="model",
        distribution={},
        parser=None if declared is None else ArgumentParser(declared),
        train_parser=None if train_args is None else ArgumentParser(train_args),
        renderer_schema=answer_schema(schema),
        nan_is_null=nan_is_null,
    )


def published(field: Any, name: str = "x") -> Argument:
    description = make({name: field})
    check(description)
    return description.predict[0]


def check(description: Description) -> None:
    """Hold that it crosses the border in both forms, and that both documents made of it are valid."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(description), type=Description) == description
    assert msgspec.json.decode(msgspec.json.encode(description), type=Description) == description
    info = {"title": "t", "version": "1"}
    content = {"application/json": {"schema": {"properties": {a.name: a.schema for a in description.predict}}}}
    ok: dict[str, Any] = {"description": "ok", "content": {"application/json": {"schema": description.response or {}}}}
    operation: dict[str, Any] = {"requestBody": {"content": content}, "responses": {"200": ok}}
    new = {"openapi": "3.1.0", "info": info, "paths": {"/": {"post": operation}}}
    new["components"] = {"schemas": description.components}
    OpenAPIV31SpecValidator(json.loads(json.dumps(new))).validate()
    ok = {"description": "ok", "schema": description.response_definition or {}}
    # Swagger 2.0 wants multipart where a parameter is a file
    operation = {"consumes": ["multipart/form-data"], "responses": {"200": ok}}
    operation["parameters"] = [argument.parameter for argument in description.predict]
    old = {"swagger": "2.0", "info": info, "paths": {"/": {"post": operation}}, "definitions": description.definitions}
    OpenAPIV2SpecValidator(json.loads(json.dumps(old))).validate()


def test_a_plain_argument_is_published_with_all_that_its_field_says() -> None:
    field = fields.Int(
        load_default=3,
        validate=[validate.Range(1, 10), validate.OneOf([1, 3, 5])],
        metadata={"description": "How many", "example": 5, "x_unit": "pixels"},
    )
    argument = published(field)
    assert argument == Argument(
        name="x",
        location="",
        required=False,
        schema={
            "type": "integer",
            "default": 3,
            "enum": [1, 3, 5],
            "minimum": 1,
            "maximum": 10,
            "description": "How many",
            "x-unit": "pixels",
            "examples": [5],
        },
        parameter={
            "in": "query",
            "name": "x",
            "required": False,
            "type": "integer",
            "default": 3,
            "enum": [1, 3, 5],
            "minimum": 1,
            "maximum": 10,
            "description": "How many",
            "x-unit": "pixels",
            "x-example": 5,
        },
    )


@pytest.mark.parametrize(
    ("field", "schema", "parameter"),
    [
        (fields.Str(required=True), {"type": "string"}, {"type": "string"}),
        (fields.Bool(load_default=True), {"type": "boolean", "default": True}, {"type": "boolean", "default": True}),
        (
            fields.Int(load_default=None),
            {"type": ["integer", "null"], "default": None},
            {"type": "integer", "x-nullable": True},
        ),
        (
            fields.Float(validate=validate.Range(0, 1, min_inclusive=False)),
            {"type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0},
            {"type": "number", "minimum": 0.0, "exclusiveMinimum": True, "maximum": 1.0},
        ),
        (
            fields.Date(load_default=datetime.date(2020, 1, 2)),
            {"type": "string", "format": "date", "default": "2020-01-02"},
            None,
        ),
        (fields.Date(load_default="2020-01-02"), {"type": "string", "format": "date", "default": "2020-01-02"}, None),
        (fields.Decimal(load_default=decimal.Decimal("1.5")), {"type": "number", "default": 1.5}, None),
        (
            fields.Enum(Colour, by_value=True, load_default=Colour.RED),
            {"type": "string", "default": "red", "enum": ["red", "blue"]},
            None,
        ),
        (fields.Enum(Colour, by_value=fields.Str), {"type": "string", "enum": ["red", "blue"]}, None),
        (fields.Int(load_default=lambda: 5), {"type": "integer"}, {"type": "integer"}),
        (fields.Int(load_default=np.int64(5)), {"type": "integer", "default": 5}, {"type": "integer", "default": 5}),
        (fields.Float(validate=validate.Range(max=math.inf)), {"type": "number"}, {"type": "number"}),
        (fields.Str(validate=validate.Regexp("^[a-z]+$")), {"type": "string", "pattern": "^[a-z]+$"}, None),
        (fields.Str(validate=validate.Regexp(r"(?P<a>x)\Z")), {"type": "string", "pattern": "^(?:(x)$)"}, None),
        (fields.Str(validate=validate.Regexp("(?i)x")), {"type": "string"}, None),
        (fields.Str(validate=validate.OneOf([["a"], "b"])), {"type": "string", "enum": ["b"]}, None),
        (fields.Str(validate=validate.Length(1, 9)), {"type": "string", "minLength": 1, "maxLength": 9}, None),
        (
            fields.List(fields.Int(), load_default=[1, 2]),
            {"type": "array", "items": {"type": "integer"}, "default": [1, 2]},
            {"type": "array", "items": {"type": "integer"}, "default": [1, 2], "collectionFormat": "multi"},
        ),
        (
            fields.DelimitedList(fields.Int(), delimiter="|", load_default=[1, 2]),
            {"type": "string", "description": "Values separated by '|'.", "default": "1|2"},
            None,
        ),
        (
            fields.Dict(load_default={"a": 1}, metadata={"description": "Options."}),
            {"type": "object", "additionalProperties": {}, "default": {"a": 1}, "description": "Options."},
            {"type": "string", "default": '{"a": 1}', "description": "Options. Given as JSON text."},
        ),
        (
            fields.DateTime(format="%Y"),
            {"type": "string", "description": "Written as %Y.", "pattern": r"^\d{4}$", "examples": ["2026"]},
            {"type": "string", "description": "Written as %Y.", "pattern": r"^\d{4}$", "x-example": "2026"},
        ),
        (fields.Raw(), {"not": {"type": "null"}}, {"type": "string"}),
    ],
)
def test_each_kind_of_field_is_published_as_it_is_given(
    field: Any, schema: dict[str, Any], parameter: dict[str, Any] | None
) -> None:
    argument = published(field)
    assert argument.schema == schema
    assert argument.parameter == {"in": "query", "name": "x", "required": field.required, **(parameter or schema)}


def test_an_array_is_published_by_its_shape() -> None:
    field = fields.NDArray(dtype="int64", shape=(2, None), required=True, metadata={"description": "Points."})
    argument = published(field)
    lists = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "minItems": 2, "maxItems": 2}
    assert argument.schema["anyOf"][0] == lists
    assert argument.schema["description"] == "Points."
    assert argument.parameter["type"] == "string"
    assert argument.parameter["description"] == "Points. Given as JSON text."


@pytest.mark.parametrize(
    "field",
    [
        fields.File(media_types=("image/png", "image/jpeg"), max_bytes=100, metadata={"description": "A picture."}),
        fields.Raw(metadata={"type": "file", "location": "form", "description": "A picture."}),
    ],
)
def test_a_file_is_a_part_of_a_form(field: Any) -> None:
    argument = published(field)
    assert argument.location == "form"
    assert argument.file is not None
    assert {key: argument.schema[key] for key in ("type", "format")} == {"type": "string", "format": "binary"}
    assert argument.schema["description"].startswith("A picture.")
    assert {**argument.parameter, "description": ""} == {
        "in": "formData",
        "name": "x",
        "required": False,
        "type": "file",
        "description": "",
    }


def test_a_file_that_says_nothing_has_no_description() -> None:
    assert published(fields.File()).schema == {"type": "string", "format": "binary"}


def test_a_file_says_what_it_accepts() -> None:
    argument = published(fields.File(many=True, media_types=("image/png",), max_bytes=100))
    assert argument.file == FileRule(many=True, media_types=["image/png"], max_bytes=100)
    assert argument.schema == {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "Several files may be given. Accepted: image/png. At most 100 bytes.",
    }
    assert argument.parameter["type"] == "file"


@pytest.mark.parametrize(
    ("location", "published_location", "place", "name"),
    [
        ("query", "query", "query", "a_b"),
        ("querystring", "query", "query", "a_b"),
        ("form", "form", "formData", "a_b"),
        ("headers", "headers", "header", "a-b"),
        ("json", "json", "body", "a_b"),
    ],
)
def test_a_field_says_where_alone_it_is_read(location: str, published_location: str, place: str, name: str) -> None:
    argument = published(fields.List(fields.Int(), metadata={"location": location}), "a_b")
    assert (argument.name, argument.location) == ("a_b", published_location)
    assert (argument.parameter["in"], argument.parameter["name"]) == (place, name)
    form = {"header": "csv", "body": None}.get(place, "multi")
    assert argument.parameter.get("collectionFormat") == form
    assert ("schema" in argument.parameter) == (place == "body")


def test_names_are_those_on_the_wire() -> None:
    description = make({"a": fields.Int(data_key="top-k"), "bbox(N,W,S,E)": fields.Str(), "x.y": fields.Str()})
    assert [argument.name for argument in description.predict] == ["top-k", "bbox(N,W,S,E)", "x.y"]


def test_what_a_client_cannot_give_is_no_argument() -> None:
    assert make({"a": fields.Int(dump_only=True), "b": fields.Int()}).predict[0].name == "b"


def test_nested_schemas_are_components_by_their_class() -> None:
    other = type("BoxSchema", (marshmallow.Schema,), {"right": fields.Int()})
    declared = {
        "box": fields.Nested(Box, allow_none=True),
        "boxes": fields.List(fields.Nested(Box)),
        "part": fields.Nested(Box(only=("left",))),
        "other": fields.Nested(other, metadata={"description": "Another."}),
        "tree": fields.Nested(Tree, many=True),
    }
    description = make(declared, schema={"box": fields.Nested(Box), "tree": fields.Nested(Tree)})
    check(description)
    assert sorted(description.components) == sorted(description.definitions) == ["Box", "Box2", "Box3", "Tree"]
    assert description.components["Box"]["properties"]["tag"] == {"type": ["string", "null"], "examples": ["a"]}
    assert description.definitions["Box"]["properties"]["tag"]["x-nullable"] is True
    by_name = {argument.name: argument for argument in description.predict}
    assert by_name["box"].schema == {"anyOf": [{"$ref": "#/components/schemas/Box"}, {"type": "null"}]}
    assert by_name["tree"].schema == {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}
    assert all(argument.parameter["type"] == "string" for argument in description.predict)
    assert description.response is not None
    assert description.response["properties"]["box"] == {"$ref": "#/components/schemas/Box"}
    assert description.response_definition is not None
    assert description.response_definition["properties"]["box"] == {"$ref": "#/definitions/Box"}


def test_a_class_name_that_no_component_may_have_is_made_fit() -> None:
    other = type("GrößeSchema", (marshmallow.Schema,), {"right": fields.Int()})
    assert list(make({"x": fields.Nested(other)}).components) == ["Gr__e"]


@pytest.mark.parametrize(
    "schema", [Box, Box(), {"left": fields.Int(required=True), "tag": fields.Str(allow_none=True)}]
)
def test_the_answer_is_published(schema: Any) -> None:
    description = make({}, schema=schema)
    check(description)
    assert description.response is not None
    assert description.response["required"] == ["left"]
    assert description.response["additionalProperties"] is False
    assert description.response["properties"]["left"] == {"type": "integer"}


def test_an_answer_of_many_is_a_list() -> None:
    description = make({}, schema=Box(many=True))
    check(description)
    assert description.response is not None
    assert description.response["type"] == "array"
    assert description.response_definition is not None
    assert description.response_definition["items"]["type"] == "object"


def test_an_answer_may_hold_an_array_and_a_field_for_answers_only() -> None:
    schema = {"a": fields.NDArray(dtype="int32", shape=(2,)), "b": fields.Int(dump_only=True)}
    description = make({}, schema=schema)
    check(description)
    assert description.response_definition is not None
    assert description.response_definition["properties"]["a"]["type"] == "array"
    assert description.response_definition["properties"]["b"]["readOnly"] is True


def test_without_a_schema_the_default_envelope_is_meant() -> None:
    description = make({})
    assert (description.response, description.response_definition, description.components) == (None, None, {})


JUNK: dict[Any, Any] = {
    "description": 5,
    "title": ["x"],
    "minimum": "0",
    "maxLength": -1,
    "multipleOf": 0,
    "enum": "ab",
    "type": "text",
    "items": 3,
    "pattern": None,
    "examples": {"one": {"value": 1}},
    "required": True,
    "nullable": "yes",
    "default": object(),
    "x-thing": {1: {2, 3}, "f": len, "n": 2**80},
    "allOf": [1, 2],
    "externalDocs": "x",
    ("a",): 1,
}


@pytest.mark.parametrize("key", [key for key in JUNK if isinstance(key, str)])
def test_metadata_that_makes_no_sense_makes_no_invalid_document(key: str) -> None:
    published(fields.Str(metadata={key: JUNK[key]}))
    published(fields.Int(metadata={key: JUNK[key]}))


def test_all_of_that_metadata_together_makes_no_invalid_document() -> None:
    argument = published(fields.Int(metadata=JUNK))
    assert argument.schema["x-thing"] == {"1": [2, 3], "n": float(2**80)}


def test_a_default_of_the_wrong_type_is_left_out() -> None:
    assert published(fields.Int(load_default="many")).schema == {"type": "integer"}
    assert published(fields.Str(metadata={"default": 5})).schema == {"type": "string"}


def test_limits_that_cannot_be_written_are_left_out() -> None:
    field = fields.Date(validate=validate.Range(min="2020"))
    assert published(field).schema == {"type": "string", "format": "date"}


def test_hostile_texts_stay_plain_text() -> None:
    """FAULTS C10: pages escape them; here nothing is added, taken away or broken."""
    text = "<img src=x onerror=alert(1)> </script> [a](javascript:alert(1))"
    argument = published(fields.Str(metadata={"description": text + "\ud800"}))
    assert argument.schema["description"] == text + "?"


def test_what_the_model_implements_is_named_in_order() -> None:
    model: dict[str, Any] = {"warm": print, "predict_batch": list, "train": print, "get_train_args": dict}
    description = make({}, **model)
    assert description.implements == ["get_metadata", "warm", "predict", "predict_batch", "get_train_args", "train"]
    assert description.max_batch_size == 32
    assert make({}, predict=print, max_batch_size=8).max_batch_size == 1


def test_media_types_and_training_are_described() -> None:
    accept = fields.Str(load_default="image/png", validate=validate.OneOf(["application/json", "image/png"]))
    description = make({"accept": accept}, train_args={"epochs": fields.Int(load_default=1)})
    assert description.media_types == ["image/png", "application/json"]
    assert description.train[0].schema == {"type": "integer", "default": 1}
    assert make().media_types == ["application/json"]


def test_an_accept_that_is_negotiated_over_is_published_with_its_default_and_need_not_be_given() -> None:
    choices = validate.OneOf(["image/*", "application/zip", "*/*"])
    description = make({"accept": fields.Str(required=True, validate=choices)})
    (accept,) = description.predict
    assert (accept.required, accept.schema["default"], accept.schema["enum"][0]) == (False, "image/*", "image/*")
    assert (accept.parameter["required"], accept.parameter["default"]) == (False, "image/*")
    assert description.media_types == ["image/*", "application/zip"]
    assert make({"accept": fields.Str(required=True)}).predict[0].required


def test_what_apispec_warns_of_is_no_warning_of_ours() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make({"x": fields.Str(validate=[validate.Regexp("a"), validate.Regexp("b")])})


def test_a_nested_schema_that_cannot_be_built_fails_here() -> None:
    """FAULTS B12: at the start, not at the first call."""
    with pytest.raises(marshmallow.exceptions.RegistryError):
        make({}, schema={"x": fields.Nested("NoSuchSchema")})


SENT = [
    (fields.DelimitedList(fields.Int()), "1,2", [1, 2]),
    (webargs.fields.DelimitedList(fields.Int()), "1,2", [1, 2]),
    (fields.DelimitedTuple((fields.Int(), fields.Str())), "1,a", (1, "a")),
    (fields.Tuple((fields.Int(), fields.Str())), [1, "a"], (1, "a")),
    (fields.Date(format="%d/%m/%Y"), "31/12/2026", datetime.date(2026, 12, 31)),
    (fields.Time(format="%H.%M"), "12.30", datetime.time(12, 30)),
    (fields.DateTime(format="%d.%m.%Y"), "31.12.2026", datetime.datetime(2026, 12, 31)),
    (fields.NaiveDateTime(), "2026-12-31T12:30:00", datetime.datetime(2026, 12, 31, 12, 30)),
    (fields.IPInterface(), "10.0.0.1/24", ipaddress.ip_interface("10.0.0.1/24")),
    (fields.Constant("x"), "x", "x"),
    (fields.Int(strict=True), 3, 3),
    (fields.Enum(Colour), "RED", Colour.RED),
    (fields.Dict(keys=fields.Int(), values=fields.Float()), {"1": 1.5}, {1: 1.5}),
    (fields.Dict(keys=fields.Enum(Colour), values=fields.Int()), {"RED": 1}, {Colour.RED: 1}),
    (fields.Pluck(Box, "left", many=True), [1, 2], [{"left": 1}, {"left": 2}]),
]


@pytest.mark.parametrize(("field", "value", "meant"), SENT)
def test_what_is_published_is_taken_from_everywhere(field: Any, value: Any, meant: Any) -> None:
    """Y30: from a JSON body, a query, a form, and by a flag of the command line."""
    argument = published(field)
    assert not list(Draft202012Validator(argument.schema).iter_errors(value))
    parser, text = ArgumentParser({"x": field}), value if isinstance(value, str) else json.dumps(value)
    builder = CallBuilder(None)
    builder.add(argument, [text] if isinstance(value, str | int) or "prefixItems" in argument.schema else _words(value))
    calls = [
        Call(content_type="application/json", body=json.dumps({"x": value}).encode()),
        Call(query=urlencode({"x": text})),
        Call(form=[("x", text)]),
        builder.build(""),
    ]
    for call in calls:
        assert parser.parse(call)[0]["x"] == meant


def _words(value: Any) -> list[str]:
    return [json.dumps(each) for each in value] if isinstance(value, list) else [json.dumps(value)]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        (fields.DelimitedList(fields.Int()), [1, 2]),
        (fields.Tuple((fields.Int(), fields.Str())), [1]),
        (fields.Tuple((fields.Int(), fields.Str())), ["a", "b"]),
        (fields.Dict(keys=fields.Int(), values=fields.Float()), {"x": 1.5}),
        (fields.Dict(keys=fields.Enum(Colour), values=fields.Int()), {"red": 1}),
    ],
)
def test_what_is_refused_is_not_published(field: Any, wrong: Any) -> None:
    """Y30."""
    assert list(Draft202012Validator(published(field).schema).iter_errors(wrong))
    with pytest.raises(InvalidArguments):
        ArgumentParser({"x": field}).parse(
            Call(content_type="application/json", body=json.dumps({"x": wrong}).encode())
        )


class Score(marshmallow.Schema):
    value = fields.Float(allow_nan=True)


NAN_ANSWER = {
    "plain": fields.Float(),
    "y": fields.Float(allow_nan=True),
    "list": fields.List(fields.Float(allow_nan=True)),
    "dict": fields.Dict(keys=fields.Str(), values=fields.Float(allow_nan=True)),
    "nested": fields.Nested(Score),
    "many": fields.Nested(Score, many=True),
    "array": fields.NDArray(dtype="float64", shape=(1, 2), allow_nan=True),
}


@pytest.mark.parametrize("is_null", [True, False])
def test_null_for_nan_is_published_where_it_is_sent(is_null: bool) -> None:
    """Y16: in lists, dicts, nested schemas and arrays; and an argument of the same nested schema takes none."""
    description = make({"score": fields.Nested(Score)}, NAN_ANSWER, nan_is_null=is_null)
    check(description)
    answer = {"$defs": description.components, **(description.response or {})}
    schema = json.loads(json.dumps(answer).replace("#/components/schemas/", "#/$defs/"))
    sent = {
        "plain": 1.0,
        "y": None,
        "list": [None],
        "dict": {"a": None},
        "nested": {"value": None},
        "many": [{"value": None}],
        "array": [[None, 1.0]],
    }
    wrong = {error.absolute_path[0] for error in Draft202012Validator(schema).iter_errors(sent)}
    assert wrong == (set() if is_null else set(sent) - {"plain"})
    assert list(Draft202012Validator(schema).iter_errors({"plain": None}))
    assert description.components["Score"]["properties"]["value"]["type"] == "number"
