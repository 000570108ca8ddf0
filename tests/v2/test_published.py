"""What is published is what is taken: each kind of field, by each place, against the document that describes it."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from marshmallow import validate

from modelserve.cli.arguments import CallBuilder, options
from modelserve.errors import BadAnswer, BadRequest, InvalidArguments
from modelserve.messages import Argument, Call, Description
from modelserve.v2 import fields
from modelserve.v2.all_fields import all_fields
from modelserve.v2.answer_schema import answer_schema
from modelserve.v2.answers import Renderer
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.describe import describe
from modelserve.v2.plain import NanRule
from modelserve.web.openapi_predict import request_of
from tests.v2.compiled.drawn import schemas, spoiled
from tests.v2.published import ANSWERS, FIELDS, FORMATS, VALUES, WORDS

OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "or null": {"allow_none": True},
    "null by default": {"load_default": None},
}
# A text stands for nothing else in these: what is no text cannot be given in a query, a form, a header or a flag.
UNREADABLE = ("anything", "list of anything")
MULTIPART, FORM, JSON = "multipart/form-data", "application/x-www-form-urlencoded", "application/json"


def described(declared: dict[str, Any], answer: Any = None, *, nan_is_null: bool = False) -> Description:
    return describe(
        types.SimpleNamespace(predict=None, get_metadata=lambda: {"name": "m", "description": "d"}),
        name="m",
        distribution={},
        parser=ArgumentParser(declared),
        train_parser=None,
        renderer_schema=answer_schema(answer),
        nan_is_null=nan_is_null,
    )


def validator(description: Description, schema: dict[str, Any]) -> Draft202012Validator:
    whole = {**schema, "components": {"schemas": description.components}}
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole, format_checker=FORMATS)


def in_json(value: Any) -> Call:
    return Call(content_type=JSON, body=json.dumps({"x": value}).encode())


def taken(parser: ArgumentParser, call: Call) -> tuple[bool, Any]:
    try:
        return True, parser.parse(call).values["x"]
    except InvalidArguments as error:
        return False, error.fields


def is_published(name: str, schema: Draft202012Validator, value: Any) -> bool:
    return schema.is_valid(value) and is_in_words(name, value)


def is_in_words(name: str, value: Any) -> bool:
    """Whether it is what the description says where the schema cannot."""
    try:
        return name not in WORDS or value is None or bool(WORDS[name](value))
    except ValueError:
        return False


def holds_text(value: Any) -> bool:
    """Whether a text stands in it: one that says a number or a truth value is taken for it, as from a query."""
    if isinstance(value, dict):
        return any(map(holds_text, value.values())) or any(key != key.strip() for key in value)
    return any(map(holds_text, value)) if isinstance(value, list) else isinstance(value, str)


def is_beyond_the_schema(name: str, value: Any) -> bool:
    """What the schema allows, because JSON Schema cannot say otherwise, and the field refuses."""
    if name.endswith("array") or name in ("two bytes", "rows of two", "int32 scalar"):
        # texts are arrays in base64; lists must be of one length, and numbers deep in them within the dtype's limits
        return isinstance(value, str | list) or (name == "uint64 array" and value >= 2**64)
    return name == "integer, strict" and isinstance(value, float)  # to JSON Schema, 1.0 is 1


def is_lenient(name: str, value: Any) -> bool:
    """What is taken besides: a text or 0 and 1 where they can be read, and anything where it does not matter."""
    is_truth = "boolean" in name or name == "one of anything"
    return holds_text(value) or name == "constant" or (is_truth and value in (0, 1, [1]))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", FIELDS)
def test_what_is_published_is_what_is_taken(name: str, option: str) -> None:
    field = FIELDS[name](**OPTIONS[option])
    description, parser = described({"x": field}), ArgumentParser({"x": field})
    schema = validator(description, description.predict[0].schema)
    for value in VALUES:
        said = is_published(name, schema, value)
        found, result = taken(parser, in_json(value))
        if said and not found:
            assert is_beyond_the_schema(name, value), f"{value!r} is published, and refused: {result}"
        if found and not said:
            assert is_lenient(name, value), f"{value!r} is taken, and not published"


def text_of(value: Any, schema: dict[str, Any]) -> str:
    if schema.get("type") == "integer" and isinstance(value, float):
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def pairs(value: Any, schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the value as a form or a query holds it: a list by repeating its name, what is deeper as JSON."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "array" in kinds and isinstance(value, list):
        return [("x", text_of(each, {})) for each in value]
    return [("x", text_of(value, schema))]


def calls(argument: Argument, value: Any) -> Iterator[tuple[str, Call]]:
    """Yield the call in each place that the document allows, as a client makes it that follows the document."""
    content = request_of([argument], {})["requestBody"]["content"]
    assert [*content] == [JSON, MULTIPART, FORM]
    form = pairs(value, content[MULTIPART]["schema"]["properties"]["x"])
    yield "multipart", Call(content_type=f"{MULTIPART}; boundary=b", form=form)
    yield "form", Call(content_type=FORM, body=urlencode(form).encode())
    yield "query", Call(query=urlencode(pairs(value, argument.parameter)))
    option = options([argument])["argument0"][1]
    builder = CallBuilder(None)
    builder.add(argument, [text for _, text in form] if option.multiple else [text_of(value, argument.schema)])
    yield "command line", builder.build("")


def in_header(argument: Argument, value: Any) -> Call | None:
    (parameter,) = request_of([argument], {})["parameters"]
    text = text_of(value, argument.schema)
    if "schema" in parameter and isinstance(value, list):  # style simple, which is a header's
        text = ",".join(text_of(each, {}) for each in value)
    is_sent = text.isascii() and text == text.strip() and text.isprintable()
    return Call(headers={"x": text}) if is_sent else None


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, float) and one != one:
        return isinstance(other, float) and other != other
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in UNREADABLE])
def test_every_place_takes_what_json_takes(name: str) -> None:
    make = FIELDS[name]
    argument, parser = described({"x": make()}).predict[0], ArgumentParser({"x": make()})
    bound = make(metadata={"location": "headers"})
    header, header_parser = described({"x": bound}).predict[0], ArgumentParser({"x": bound})
    description = described({"x": make()})
    schema = validator(description, argument.schema)
    for value in VALUES:
        # null has no text, and neither has a list of nothing where a name is repeated for each item
        if value in (None, [], [None], [[]]) or not is_published(name, schema, value):
            continue
        found, wanted = taken(parser, in_json(value))
        if not found:
            continue
        for place, call in calls(argument, value):
            given, result = taken(parser, call)
            assert given, f"{value!r} by {place}: {result}"
            assert is_same(result, wanted), f"{value!r} by {place}: {result!r}"
        if sent := in_header(header, value):
            given, result = taken(header_parser, sent)
            assert given, f"{value!r} by header: {result}"
            assert is_same(result, wanted), f"{value!r} by header: {result!r}"


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("nan", ["error", "null"])
@pytest.mark.parametrize("name", FIELDS)
def test_what_is_published_is_what_is_sent(name: str, option: str, nan: NanRule) -> None:
    declared = {"x": FIELDS[name](**OPTIONS[option])}
    renderer = Renderer(declared, nan=nan)
    description = described({}, answer=declared, nan_is_null=nan == "null")
    assert description.response is not None
    schema = validator(description, description.response)
    for value in [*VALUES, *ANSWERS]:
        try:
            sent = json.loads(renderer.render(1, {"x": value}, JSON).body)
        except BadAnswer:
            continue
        found = sent.get("x")
        if name in ("metadata with choices", "one of anything"):
            continue  # what its author claims beside the rules; to Python, true and a timedelta64 of 1 s are 1
        assert schema.is_valid(sent), f"{value!r} is sent as {found!r}: {next(schema.iter_errors(sent)).message}"
        assert "x" not in sent or is_in_words(name, found), f"{value!r} is sent as {found!r}, in other words"


def holds(kind: type, value: Any) -> bool:
    if isinstance(value, dict):
        return any(holds(kind, each) for each in value.values())
    return any(holds(kind, each) for each in value) if isinstance(value, list) else isinstance(value, kind)


def holds_large(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(holds_large, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) > sys.float_info.max


def whole_floats_as_integers(value: Any) -> Any:
    """Return the value with 1 for each 1.0, which JSON Schema does not tell apart."""
    if isinstance(value, dict):
        return {key: whole_floats_as_integers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole_floats_as_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_told(field: Any) -> bool:
    """Whether all that a drawn field demands can be told: no rule is for another type, and no array for its shape."""
    rules = [each for rule in field.validators for each in getattr(rule, "validators", (rule,))]
    is_number = isinstance(field, fields.Integer | fields.Float | fields.Decimal)
    is_text = type(field) is fields.String
    fitting: dict[type, bool] = {
        validate.Range: is_number,
        validate.ContainsOnly: is_text or isinstance(field, fields.List),
        validate.OneOf: is_number or is_text,
        validate.NoneOf: is_number or is_text,
        validate.Equal: is_number or is_text,
    }
    return not isinstance(field, fields.NDArray) and all(fitting.get(type(rule), True) for rule in rules)


@given(data=st.data())
@settings(max_examples=200, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None)
def test_what_is_drawn_is_taken_as_it_is_published(data: st.DataObject) -> None:
    drawn = data.draw(schemas(2))
    value = data.draw(drawn.values)
    value = data.draw(spoiled(value)) if data.draw(st.booleans()) else value
    try:
        value = whole_floats_as_integers(json.loads(json.dumps(value, allow_nan=False)))
        assert not holds_large(value)
    except (TypeError, ValueError, AssertionError):
        return  # no JSON, or a number that no float can be
    field = fields.Nested(drawn.made)
    description = described({"x": field})
    schema = validator(description, description.predict[0].schema)
    if not all(map(is_told, all_fields(drawn.made))):
        return
    said = schema.is_valid(value)
    try:
        found, result = taken(ArgumentParser({"x": field}), in_json(value))
    except (TypeError, BadRequest):
        return  # a validator that its author gave to a field of another type; half of a surrogate pair
    # to Python, false is 0
    assert found or not said or holds(bool, value), f"{value!r} is published, and refused: {result}"
    assert said or not found or holds(str, value) or holds(int, value), f"{value!r} is taken, and not published"
