"""Validation of a call's arguments by what the model declares, and the choice of the answer's media type."""

from __future__ import annotations

import enum
import json
import time
from typing import Any, cast

import marshmallow
import msgspec
import pytest
from marshmallow import (
    EXCLUDE,
    INCLUDE,
    RAISE,
    Schema,
    ValidationError,
    post_load,
    pre_load,
    validate,
    validates_schema,
)

from modelserve.errors import ContractError, InvalidArguments, ModelError, NotAcceptable
from modelserve.messages import Call, FilePart
from modelserve.v2 import fields
from modelserve.v2.arguments import MAX_MESSAGES, ArgumentParser


def json_call(value: Any, **kwargs: Any) -> Call:
    return Call(content_type="application/json", body=json.dumps(value).encode(), **kwargs)


def parsed(declared: Any, call: Call, **kwargs: Any) -> dict[str, Any]:
    return ArgumentParser(declared, **kwargs).parse(call).values


def refused(declared: Any, call: Call, **kwargs: Any) -> dict[str, Any]:
    with pytest.raises(InvalidArguments) as caught:
        ArgumentParser(declared, **kwargs).parse(call)
    return caught.value.fields


def count(messages: Any) -> int:
    if isinstance(messages, dict):
        return sum(map(count, messages.values()))
    return sum(map(count, messages)) if isinstance(messages, list) else 1


class Colour(enum.Enum):
    RED = 1


class Pair(Schema):
    low = fields.Int(required=True)
    high = fields.Int(required=True)

    @pre_load
    def split(self, data: Any, **kwargs: Any) -> Any:
        if "both" not in data:
            return data
        low, high = data["both"].split("-")
        return {"low": low, "high": high}

    @validates_schema
    def check(self, data: Any, **kwargs: Any) -> None:
        if data["low"] > data["high"]:
            raise ValidationError("low is above high")


def test_values_are_by_declared_name_and_absent_ones_are_absent() -> None:
    declared: dict[str, Any] = {"x": fields.Int(required=True), "y": fields.Float(), "z": fields.Str(load_default="z")}
    assert ArgumentParser(declared).parse(json_call({"x": 1})) == ({"x": 1, "z": "z"}, "application/json")


class Hooked(Schema):
    """Marshmallow itself reads it."""

    found = fields.List(fields.Int(), load_default=[])
    by_name = fields.Dict(load_default={"a": [1]}, attribute="named")

    @pre_load
    def keep(self, data: Any, **kwargs: Any) -> Any:
        return data


PLAIN: dict[str, Any] = {
    "found": fields.List(fields.Int(), load_default=[]),
    "named": fields.Dict(load_default={"a": [1]}),
}


@pytest.mark.parametrize("declared", [PLAIN, Hooked], ids=["compiled", "by marshmallow"])
def test_a_default_that_a_model_changes_is_as_declared_for_the_next_call(declared: Any) -> None:
    """A20: what is of one client's call is never in another's."""
    parser = ArgumentParser(declared)
    for _ in range(2):
        values = parser.parse(json_call({})).values
        assert values == {"found": [], "named": {"a": [1]}}
        values["found"].append(2)
        values["named"]["a"].append(2)


def test_errors_are_by_name_at_top_level_in_marshmallows_words() -> None:
    declared: dict[str, Any] = {
        "x": fields.Int(required=True),
        "n": fields.Nested({"a": fields.List(fields.Int())}),
        "o": fields.Str(validate=validate.OneOf(["a", "b"])),
    }
    assert refused(declared, json_call({"n": {"a": [1, "b"]}, "o": "c"})) == {
        "x": ["Missing data for required field."],
        "n": {"a": {"1": ["Not a valid integer."]}},
        "o": ["Must be one of: a, b."],
    }


def test_names_need_not_be_identifiers() -> None:
    declared = {
        "top-k": fields.Int(),
        "a.b": fields.Int(),
        "a": fields.Int(),
        "Meta": fields.Int(),
        "class": fields.Int(),
        "load": fields.Int(),
        "": fields.Int(),
        "é ü": fields.Int(),
    }
    values = dict(zip(declared, range(len(declared)), strict=True))
    assert parsed(declared, json_call(values)) == values
    assert refused(declared, json_call({"a.b": "x"})) == {"a.b": ["Not a valid integer."]}


def test_a_data_key_is_the_name_on_the_wire_and_never_in_the_values() -> None:
    declared = {
        "x": fields.Int(data_key="X-Value"),
        "y": fields.Int(attribute="why"),
        "a.b": fields.Int(data_key="ab"),
    }
    assert parsed(declared, Call(query="X-Value=1&y=2&ab=3")) == {"x": 1, "why": 2, "a.b": 3}
    assert list(refused(declared, Call(query="x=1"))) == ["x"]
    assert refused(declared, Call(query="X-Value=a")) == {"X-Value": ["Not a valid integer."]}


def test_enums_dates_and_dicts_are_loaded() -> None:
    declared = {"c": fields.Enum(Colour), "d": fields.Dict(keys=fields.Str(), values=fields.Date())}
    values = parsed(declared, json_call({"c": "RED", "d": {"a": "2026-01-01"}}))
    assert values["c"] is Colour.RED
    assert values["d"]["a"].year == 2026


def test_fields_of_another_schema_are_copied() -> None:
    class Other(Schema):
        when = fields.List(fields.DateTime())
        where = fields.Tuple((fields.Str(), fields.Dict(keys=fields.Str(), values=fields.Int())))

        class Meta:
            datetimeformat = "%Y"

    bound = dict(Other().fields)
    parser = ArgumentParser(bound)
    assert parser.schema.fields["when"] is not bound["when"]
    assert all(field.root is parser.schema for field in parser.schema.fields.values())
    assert parser.parse(json_call({"where": ["a", {"b": 1}]})).values == {"where": ("a", {"b": 1})}
    assert bound["when"].root is not parser.schema


@pytest.mark.parametrize("declared", [Pair, Pair()])
def test_a_schema_with_hooks_works_as_class_and_instance(declared: Any) -> None:
    parser = ArgumentParser(declared)
    assert parser.parse(Call(query="low=1&high=2")).values == {"low": 1, "high": 2}
    assert parser.parse(Call(query="both=1-2")).values == {"low": 1, "high": 2}
    assert refused(declared, json_call({"low": 3, "high": 2})) == {"_schema": ["low is above high"]}


def test_a_schema_is_built_once() -> None:
    instance = Pair()
    assert ArgumentParser(instance).schema is instance
    built = []

    class Counted(Schema):
        def __init__(self, **kwargs: Any) -> None:
            built.append(1)
            super().__init__(**kwargs)

    parser = ArgumentParser(Counted)
    for _ in range(3):
        parser.parse(Call())
    assert built == [1]


@pytest.mark.parametrize("declared", [None, 3, [fields.Int()], {"x": int}, {"x": fields.Int}, {3: fields.Int()}])
def test_what_declares_no_arguments_is_an_error_of_the_model(declared: Any) -> None:
    with pytest.raises(ContractError, match=r"fields\.Int\(\)|dict of fields"):
        ArgumentParser(declared)


def test_a_schema_of_many_and_an_unknown_option_are_errors() -> None:
    with pytest.raises(ContractError, match="many=True"):
        ArgumentParser(Pair(many=True))
    with pytest.raises(ValueError, match='"error" or "ignore"'):
        ArgumentParser({}, unknown="drop")  # type: ignore[arg-type]


def test_a_schema_that_gives_no_mapping_is_an_error_of_the_model() -> None:
    class Odd(Schema):
        @post_load
        def make(self, data: Any, **kwargs: Any) -> Any:
            return [data]

    with pytest.raises(ModelError):
        ArgumentParser(Odd).parse(Call())


@pytest.mark.parametrize(
    "call",
    [
        json_call({"nosuch": 1}),
        Call(query="nosuch=1"),
        Call(content_type="application/x-www-form-urlencoded", body=b"nosuch=1&nosuch=2"),
        Call(content_type="multipart/form-data; boundary=x", files=[FilePart("nosuch", "/tmp/x", "", "x", 1)]),
    ],
)
def test_an_unknown_argument_is_a_422_that_names_it_or_is_ignored(call: Call) -> None:
    """FAULTS D11."""
    declared = {"x": fields.Int(), "y": fields.Int(data_key="why")}
    assert refused(declared, call) == {"nosuch": ["Unknown argument. Known are: x, why."]}
    assert refused({}, call) == {"nosuch": ["Unknown argument. There are none."]}
    assert parsed(declared, call, unknown="ignore") == {}


def test_an_unknown_key_inside_an_argument_keeps_marshmallows_words() -> None:
    """FAULTS D11."""
    assert refused({"n": fields.Nested({})}, json_call({"n": {"a": 1}})) == {"n": {"a": ["Unknown field."]}}


def test_what_a_schema_says_of_unknown_arguments_wins() -> None:
    """FAULTS D11."""

    class Ignoring(Schema):
        class Meta:
            unknown = EXCLUDE

    class Strict(Schema):
        error_messages = {"unknown": "What is that?"}

        class Meta:
            unknown = RAISE

    class Open(Schema):
        pass

    call = Call(query="nosuch=1")
    assert parsed(Ignoring, call, unknown="error") == {}
    assert refused(Strict, call, unknown="ignore") == {"nosuch": ["What is that?"]}
    assert parsed(Open(unknown=INCLUDE), Call(query="a=1&b=2&b=3")) == {"a": "1", "b": ["2", "3"]}


def test_a_field_that_is_only_written_is_unknown() -> None:
    assert refused({"x": fields.Int(dump_only=True)}, Call(query="x=1")) == {"x": ["Unknown argument. There are none."]}


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ({"x": fields.Nested({"a": fields.Int(required=True)}, many=True)}, {"x": [{}] * 100_000}),
        ({"x": fields.List(fields.Nested({"a": fields.Int(required=True)}))}, {"x": [{}] * 100_000}),
        ({"x": fields.List(fields.Int())}, {"x": ["a"] * 100_000}),
        ({"x": fields.Int()}, {str(number): 1 for number in range(10_000)}),
    ],
)
def test_at_most_20_messages_are_sent_and_soon(declared: Any, value: Any) -> None:
    """FAULTS D27."""
    call = json_call(value)
    before = time.process_time()
    found = refused(declared, call)
    assert time.process_time() - before < 0.5
    assert count(found) == MAX_MESSAGES
    assert found["_schema"] == ["There are more problems; the first 19 are listed."]
    assert all(count(messages) for messages in found.values())


def test_up_to_19_messages_are_sent_whole() -> None:
    """FAULTS D27."""
    found = refused({"x": fields.List(fields.Int())}, json_call({"x": ["a"] * 19}))
    assert count(found) == 19
    assert "_schema" not in found


def test_fields_may_be_marshmallows_own() -> None:
    declared = {
        "x": marshmallow.fields.Integer(required=True, validate=validate.Range(min=1)),
        "names": marshmallow.fields.List(marshmallow.fields.String()),
        "pair": marshmallow.fields.Nested(Pair),
        "token": marshmallow.fields.String(data_key="X-Token", metadata={"location": "headers"}),
        "image": marshmallow.fields.Raw(metadata={"type": "file", "location": "form"}),
    }
    call = Call(
        query='x=1&names=a&names=b&pair={"low":1,"high":2}',
        headers={"x-token": "t"},
        files=[FilePart("image", "/tmp/1", "image/png", "a.png", 3)],
    )
    found = parsed(declared, call)
    assert found.pop("image").original_filename == "a.png"
    assert found == {"x": 1, "names": ["a", "b"], "pair": {"low": 1, "high": 2}, "token": "t"}
    assert list(refused(declared, Call(query="x=0&image=/etc/passwd"))) == ["image"]
    assert list(refused(declared, json_call({"x": 0}))) == ["x"]


def test_messages_are_small_and_cross_the_process_border() -> None:
    """FAULTS D27."""
    found = refused({"x": fields.List(fields.Int())}, json_call({"n" * 100_000: 1, "x": [1, "a"]}))
    assert len(json.dumps(found)) < 400
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found)) == found


@pytest.mark.parametrize("value", [[1, 2], "x", None])
def test_json_that_is_no_object_is_a_422(value: Any) -> None:
    """FAULTS D07."""
    assert list(refused({"x": fields.Int()}, json_call(value))) == ["_schema"]


@pytest.mark.parametrize("query", ["x=nan", "x=Infinity", "x=-inf", "x=1e999"])
def test_no_float_becomes_nan_or_infinity(query: str) -> None:
    """FAULTS D06."""
    assert list(refused({"x": fields.Float()}, Call(query=query))) == ["x"]


def test_a_number_of_5000_digits_in_the_query_is_a_422() -> None:
    """FAULTS D05."""
    assert refused({"x": fields.Int()}, Call(query="x=" + "1" * 5000)) == {"x": ["Not a valid integer."]}


def accept(default: Any = "image/png", **kwargs: Any) -> Any:
    return fields.Str(load_default=default, validate=validate.OneOf(["application/json", "image/png"]), **kwargs)


def test_without_a_declared_accept_the_answer_is_json() -> None:
    """FAULTS C08."""
    parser = ArgumentParser({})
    assert parser.media_types == ("application/json",)
    for header in ("", "*/*", "application/*", "application/json, text/plain;q=0.9"):
        assert parser.parse(Call(accept=header)) == ({}, "application/json")
    with pytest.raises(NotAcceptable):
        parser.parse(Call(accept="image/png"))


@pytest.mark.parametrize(
    ("field", "media_types"),
    [
        (accept(), ("image/png", "application/json")),
        (accept("application/json"), ("application/json", "image/png")),
        (accept("text/plain"), ("application/json", "image/png")),
        (fields.Str(validate=[validate.Length(min=1), validate.OneOf(("a/b", "c/d"))]), ("a/b", "c/d")),
        (fields.Str(validate=validate.And(validate.OneOf(["a/b", 3, "x"]))), ("a/b",)),
        (fields.Str(validate=(validate.OneOf(["a/b"]),)), ("a/b",)),
        (fields.Str(validate=validate.OneOf(["*/*", "a/b", "c/*"])), ("a/b", "c/*")),
        (fields.Str(validate=validate.OneOf(["c/*", "a/b"])), ("c/*", "a/b")),
        (fields.Str(validate=validate.OneOf(["a/b", "c/*"]), load_default="c/*"), ("c/*", "a/b")),
        (fields.Str(validate=validate.OneOf(["*/b", "a/", "/b", "a/b*", "a/b"])), ("a/b",)),
        (fields.Str(load_default="text/*"), ("application/json",)),
        (fields.Str(load_default="text/csv"), ("text/csv",)),
        (fields.Str(load_default="*/*"), ("application/json",)),
        (fields.Str(), ("application/json",)),
    ],
)
def test_media_types_are_the_choices_of_accept_the_default_first(field: Any, media_types: Any) -> None:
    assert ArgumentParser({"accept": field}).media_types == media_types


@pytest.mark.parametrize(
    ("call", "chosen"),
    [
        (Call(), "image/png"),
        (Call(accept="*/*"), "image/png"),
        (Call(accept="application/json"), "application/json"),
        (Call(accept="image/*;q=0.1, application/*"), "application/json"),
        (Call(query="accept=*/*"), "image/png"),
        (Call(query="accept=*/*", accept="application/json"), "application/json"),
        (Call(query="accept=application/json", accept="image/png"), "application/json"),
        (Call(query="accept=application/json", accept="video/mp4"), "application/json"),
        (json_call({"accept": "application/json"}), "application/json"),
    ],
)
@pytest.mark.parametrize("name", ["accept", "content"])
def test_a_declared_accept_is_what_the_client_says_else_negotiated(call: Call, chosen: str, name: str) -> None:
    """FAULTS C08."""
    parser = ArgumentParser({name: accept(data_key="accept")})
    assert parser.parse(call) == ({name: chosen}, chosen)


def test_an_accept_that_is_no_choice_is_a_422_and_a_header_that_fits_nothing_a_406() -> None:
    """FAULTS C08."""
    assert list(refused({"accept": accept()}, Call(query="accept=video/mp4"))) == ["accept"]
    with pytest.raises(NotAcceptable, match="image/png, application/json"):
        ArgumentParser({"accept": accept()}).parse(Call(accept="video/mp4"))


@pytest.mark.parametrize(("declared", "chosen"), [({"accept": accept()}, "image/png"), ({}, "application/json")])
def test_a_header_that_fits_nothing_may_get_the_default(declared: Any, chosen: str) -> None:
    parser = ArgumentParser(declared, takes_any_accept=True)
    assert parser.parse(Call(accept="video/mp4")).media_type == chosen
    assert parser.parse(Call(accept="application/json")).media_type == "application/json"


def test_an_accept_read_from_headers_is_negotiated_too() -> None:
    """FAULTS C08."""
    parser = ArgumentParser({"accept": accept(data_key="Accept", metadata={"location": "headers"})})
    assert parser.headers == ()
    assert parser.parse(Call(accept="application/json;q=0.5, */*;q=0.1")).media_type == "application/json"
    with pytest.raises(InvalidArguments):
        parser.parse(Call(query="Accept=application/json"))


@pytest.mark.parametrize(
    ("call", "told", "media_type"),
    [
        (Call(accept="image/png"), "image/*", "image/png"),
        (Call(accept="image/*"), "image/*", "image/*"),
        (Call(accept="image/png, image/gif"), "image/*", "image/*"),
        (Call(query="accept=image/*"), "image/*", "image/*"),
        (Call(query="accept=image/*", accept="image/png"), "image/*", "image/png"),
        (Call(query="accept=image/*", accept="application/json"), "image/*", "image/*"),
        (Call(query="accept=*/*", accept="image/png"), "image/*", "image/png"),
        (json_call({"accept": "image/*"}), "image/*", "image/*"),
        (Call(), "application/json", "application/json"),
    ],
)
def test_a_model_that_offers_a_range_is_told_the_range(call: Call, told: str, media_type: str) -> None:
    declared = {"accept": fields.Str(validate=validate.OneOf(["application/json", "image/*"]))}
    assert ArgumentParser(declared).parse(call) == ({"accept": told}, media_type)


def test_an_argument_that_is_given_elsewhere_may_be_left_out() -> None:
    declared = {
        "a": fields.Int(metadata={"location": "headers"}, load_default=0),
        "b": fields.Int(metadata={"location": "json"}, load_default=0),
        "c": fields.Int(metadata={"location": "form"}, required=True),
        "accept": accept(metadata={"location": "headers"}),
    }
    parser = ArgumentParser(declared, drops_misplaced=True)
    form = [("c", "3"), ("b", "4"), ("accept", "image/png")]
    call = Call(
        query="a=1&b=x&c=5&accept=image/png",
        content_type="multipart/form-data; boundary=b",
        form=form,
        headers={"a": "2"},
        accept="application/json",
    )
    assert parser.parse(call).values == {"a": 2, "b": 0, "c": 3, "accept": "application/json"}
    with pytest.raises(InvalidArguments) as missing:
        parser.parse(Call(query="c=5"))
    assert missing.value.fields == {"c": ["Missing data for required field."]}


def test_an_accept_without_choices_that_is_declared_a_header_is_that_header() -> None:
    parser = ArgumentParser({"accept": fields.Str(metadata={"location": "headers"}, load_default="none")})
    assert parser.parse(Call(accept="text/html, */*")) == ({"accept": "text/html, */*"}, "application/json")
    assert parser.parse(Call()).values == {"accept": "none"}


def test_an_accept_without_choices_never_becomes_a_content_type() -> None:
    parser = ArgumentParser({"accept": fields.Str()})
    assert parser.parse(Call(query="accept=text/html")) == ({"accept": "text/html"}, "application/json")
    assert parser.parse(Call()) == ({}, "application/json")


class CountedInt(fields.Int):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loads = 0

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        self.loads += 1
        return super()._deserialize(value, attr, data, **kwargs)


def counted_loads(schema: Schema) -> list[Any]:
    """Return the list to which every load by marshmallow adds what it was given."""
    given: list[Any] = []
    load = schema.load

    def counting(data: Any, **kwargs: Any) -> Any:
        given.append(data)
        return load(data, **kwargs)

    schema.load = counting  # type: ignore[method-assign]
    return given


def test_common_arguments_are_loaded_without_marshmallow_and_refused_in_its_words() -> None:
    parser = ArgumentParser(
        {"x": fields.Int(required=True, validate=validate.Range(1)), "y": fields.Float(load_default=0.5)}
    )
    loads = counted_loads(parser.schema)
    assert parser.parse(json_call({"x": 1})).values == {"x": 1, "y": 0.5}
    assert parser.parse(Call(query="x=7&y=1e3")).values == {"x": 7, "y": 1000.0}
    assert not loads
    with pytest.raises(InvalidArguments) as caught:
        parser.parse(json_call({"x": 0, "y": "a", "z": 1}))
    assert len(loads) == 1
    assert caught.value.fields == {
        "x": ["Must be greater than or equal to 1."],
        "y": ["Not a valid number."],
        "z": ["Unknown argument. Known are: x, y."],
    }


def test_the_code_of_an_author_runs_once_for_a_call() -> None:
    """Also where another argument is wrong, and so marshmallow has to word it."""
    parser = ArgumentParser({"a": CountedInt(), "b": fields.Int()})
    field: Any = parser.schema.fields["a"]
    parser.parse(json_call({"a": 1, "b": 1}))
    assert field.loads == 1
    with pytest.raises(InvalidArguments):
        parser.parse(json_call({"a": 1, "b": "no"}))
    assert field.loads == 2


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_unknown_arguments_meet_the_same_rule_with_and_without_marshmallow(unknown: Any) -> None:
    for declared in ({"x": fields.Int()}, {"x": CountedInt()}):
        parser = ArgumentParser(declared, unknown=unknown)
        if unknown == "ignore":
            assert parser.parse(json_call({"x": 1, "y": 2})).values == {"x": 1}
        else:
            with pytest.raises(InvalidArguments):
                parser.parse(json_call({"x": 1, "y": 2}))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_body_may_be_a_buffer_that_is_not_bytes(kind: Any) -> None:
    body: Any = kind(json.dumps({"x": [1.5] * 1000, "s": "a:b{"}).encode())
    values = parsed(
        {"x": fields.List(fields.Float()), "s": fields.Str()}, Call(content_type="application/json", body=body)
    )
    assert values == {"x": [1.5] * 1000, "s": "a:b{"}
    form = Call(content_type="application/x-www-form-urlencoded", body=kind(b"s=a"))
    assert parsed({"s": fields.Str()}, form) == {"s": "a"}
    assert parsed({"s": fields.Str()}, Call(body=kind(b""))) == {}


@pytest.mark.parametrize("declared", [{"\ud800": fields.Str()}, {"x": fields.Str(data_key="a\udcff")}])
def test_a_name_that_no_client_can_send_is_an_error_of_the_model(declared: Any) -> None:
    """X21."""
    with pytest.raises(ContractError, match="is no text, as it has half of a surrogate pair"):
        ArgumentParser(declared)


def test_a_name_that_is_no_text_is_said_to_be_none() -> None:
    """X21."""
    with pytest.raises(ContractError, match="name must be a text, not 3"):
        ArgumentParser(cast(Any, {3: fields.Str()}))
