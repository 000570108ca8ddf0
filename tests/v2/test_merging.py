"""Where arguments are read from: query string, form, files, headers and JSON body, merged."""

from __future__ import annotations

import base64
import enum
import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
import pytest
from marshmallow import Schema

from modelserve.errors import BadRequest, InvalidArguments, UnsupportedMedia
from modelserve.messages import Call, FilePart
from modelserve.v2 import fields
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.files import UploadedFile

FORM = "multipart/form-data; boundary=x"


def parsed(declared: Any, call: Call) -> dict[str, Any]:
    return ArgumentParser(declared).parse(call).values


def refused(declared: Any, call: Call) -> dict[str, Any]:
    with pytest.raises(InvalidArguments) as caught:
        ArgumentParser(declared).parse(call)
    return caught.value.fields


def json_call(value: Any, **kwargs: Any) -> Call:
    return Call(content_type="application/json", body=json.dumps(value).encode(), **kwargs)


def form_call(*items: tuple[str, str], **kwargs: Any) -> Call:
    return Call(content_type=FORM, form=list(items), **kwargs)


def part(name: str = "image", filename: str = "seven.png", size: int = 5, content_type: str = "image/png") -> FilePart:
    return FilePart(name, f"/tmp/random-{filename}", content_type, filename, size)


def file_call(*parts: FilePart, **kwargs: Any) -> Call:
    return Call(content_type=FORM, files=list(parts), **kwargs)


INT = {"x": fields.Int(required=True)}
DEEPAAS_FILE = fields.Raw(required=True, metadata={"type": "file", "location": "form"})


@pytest.mark.parametrize(
    "call",
    [
        json_call({"x": 3}),
        Call(query="x=3"),
        form_call(("x", "3")),
        Call(content_type="application/x-www-form-urlencoded", body=b"x=3"),
        json_call({"x": 1}, query="x=3"),
        form_call(("x", "1"), query="x=3"),
        Call(content_type="application/json", query="x=3"),
    ],
)
def test_query_beats_form_beats_json(call: Call) -> None:
    assert parsed(INT, call) == {"x": 3}


def test_places_are_merged_by_name() -> None:
    declared = {"a": fields.Int(), "b": fields.Str(), "c": fields.Int(load_default=7), "d": fields.Int()}
    assert parsed(declared, json_call({"a": 1, "b": "x"}, query="b=y")) == {"a": 1, "b": "y", "c": 7}


def test_no_body_and_no_content_type_is_a_call_without_arguments() -> None:
    assert parsed({"x": fields.Int(load_default=1)}, Call()) == {"x": 1}


def test_a_body_needs_a_content_type_that_is_read() -> None:
    """FAULTS D08, D09."""
    for call in (Call(body=b'{"x": 1}'), Call(content_type="text/plain", body=b'{"x": 1}')):
        with pytest.raises(UnsupportedMedia):
            ArgumentParser(INT).parse(call)


@pytest.mark.parametrize(
    "call",
    [
        Call(query="x=%ff"),
        Call(query="x=\udcff"),
        Call(query="&".join(["x=1"] * 1001)),
        Call(content_type="application/json", body=b"{"),
    ],
)
def test_malformed_parts_of_a_call_are_a_400(call: Call) -> None:
    """FAULTS D01, D02, D25."""
    with pytest.raises(BadRequest):
        ArgumentParser(INT).parse(call)


@pytest.mark.parametrize(
    ("field", "query", "expected"),
    [
        (fields.List(fields.Int()), "x=1&x=2", [1, 2]),
        (fields.List(fields.Int()), "x=1", [1]),
        (fields.List(fields.Int()), "x=[1, 2]", [1, 2]),
        (fields.List(fields.Str()), "x=[1", ["[1"]),
        (fields.List(fields.Str()), "x=[1]&x=", ["[1]", ""]),
        (fields.Tuple((fields.Int(), fields.Str())), "x=1&x=a", (1, "a")),
        (fields.Tuple((fields.Int(), fields.Str())), 'x=[1, "a"]', (1, "a")),
        (fields.DelimitedList(fields.Int()), "x=1,2", [1, 2]),
        (fields.List(fields.List(fields.Int())), "x=[1, 2]&x=[3]", [[1, 2], [3]]),
        (fields.List(fields.List(fields.Int())), "x=[1, 2]", [[1, 2]]),
        (fields.List(fields.List(fields.Int())), "x=[[1, 2], [3]]", [[1, 2], [3]]),
    ],
)
def test_a_list_is_given_by_repeating_its_name_or_as_json(field: Any, query: str, expected: Any) -> None:
    assert parsed({"x": field}, Call(query=query)) == {"x": expected}
    assert parsed({"x": field}, Call(content_type="application/x-www-form-urlencoded", body=query.encode())) == {
        "x": expected
    }


def test_a_list_in_the_query_replaces_the_list_of_the_body() -> None:
    assert parsed({"x": fields.List(fields.Int())}, json_call({"x": [1, 2]}, query="x=3")) == {"x": [3]}


def test_a_scalar_in_json_is_no_list() -> None:
    assert refused({"x": fields.List(fields.Int())}, json_call({"x": 1})) == {"x": ["Not a valid list."]}


@pytest.mark.parametrize("call", [Call(query="x=1&x=2"), form_call(("x", "1"), ("x", "1"))])
def test_a_repeated_scalar_is_a_422(call: Call) -> None:
    """FAULTS D25."""
    assert refused(INT, call) == {"x": ["Give one value here, not 2."]}


class Nested(Schema):
    a = fields.Int(required=True)


NESTED: dict[str, Any] = {"a": fields.Int(required=True)}


@pytest.mark.parametrize(
    ("field", "texts", "expected"),
    [
        (fields.Nested(NESTED), ['{"a": 1}'], {"a": 1}),
        (fields.Dict(), ['{"a": 1}'], {"a": 1}),
        (fields.Dict(values=fields.Int()), ['{"a": "1"}'], {"a": 1}),
        (fields.List(fields.Nested(NESTED)), ['{"a": 1}', '{"a": 2}'], [{"a": 1}, {"a": 2}]),
        (fields.List(fields.Nested(NESTED)), ['[{"a": 1}, {"a": 2}]'], [{"a": 1}, {"a": 2}]),
        (fields.Nested(NESTED, many=True), ['{"a": 1}'], [{"a": 1}]),
        (fields.Nested(NESTED, many=True), ['[{"a": 1}]'], [{"a": 1}]),
        (fields.Pluck(Nested, "a"), ["1"], {"a": 1}),
        (fields.Pluck(Nested, "a", many=True), ["1", "2"], [{"a": 1}, {"a": 2}]),
        (fields.Str(), ['{"a": 1}'], '{"a": 1}'),
        (fields.Raw(), ["[1]"], "[1]"),
    ],
)
def test_text_of_a_structured_argument_is_read_as_json(field: Any, texts: list[str], expected: Any) -> None:
    assert parsed({"x": field}, form_call(*[("x", text) for text in texts])) == {"x": expected}


def test_text_in_json_is_not_read_as_json_again() -> None:
    assert refused({"x": fields.Dict()}, json_call({"x": '{"a": 1}'})) == {"x": ["Not a valid mapping type."]}


@pytest.mark.parametrize("text", ["{", "", '{"a": 1, "a": 2}', '{"a": NaN}', "[" * 1000])
def test_broken_json_inside_text_is_a_422_of_that_argument(text: str) -> None:
    """FAULTS D01, D03, D04, D06."""
    assert list(refused({"x": fields.Dict()}, form_call(("x", text)))) == ["x"]


@pytest.mark.parametrize(
    ("shape", "query", "expected"),
    [
        (None, "x=[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ((2,), "x=1&x=2.5", [1, 2.5]),
        ((None,), "x=1", [1]),
        ((), "x=1", 1),
        ((2, 1), "x=[1]&x=[2]", [[1], [2]]),
    ],
)
def test_an_array_is_given_as_json_or_by_repeating_its_name(shape: Any, query: str, expected: Any) -> None:
    value = parsed({"x": fields.NDArray(shape=shape)}, Call(query=query))["x"]
    assert isinstance(value, np.ndarray)
    assert value.tolist() == expected


def test_an_array_is_given_as_base64_or_as_an_upload(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", np.array([1, 2]))
    content = (tmp_path / "x.npy").read_bytes()
    declared = {"x": fields.NDArray(shape=(2,))}
    upload = FilePart("x", str(tmp_path / "x.npy"), "", "x.npy", len(content))
    for call in (form_call(("x", base64.b64encode(content).decode())), file_call(upload)):
        assert parsed(declared, call)["x"].tolist() == [1, 2]
    assert refused(declared, file_call(upload, upload)) == {"x": ["Give one file here, not 2."]}
    assert list(refused(declared, form_call(("x", "hello")))) == ["x"]


@pytest.mark.parametrize("field", [fields.File(required=True), DEEPAAS_FILE])
def test_a_file_arrives_as_an_uploaded_file(field: Any) -> None:
    assert parsed({"image": field}, file_call(part())) == {
        "image": UploadedFile("image", "/tmp/random-seven.png", "image/png", "seven.png", 5)
    }


@pytest.mark.parametrize("field", [fields.File(many=True), fields.List(fields.File()), fields.List(DEEPAAS_FILE)])
def test_files_arrive_as_a_list(field: Any) -> None:
    for names in (["a"], ["a", "b"]):
        values = parsed({"image": field}, file_call(*[part(filename=name) for name in names]))["image"]
        assert [file.original_filename for file in values] == names


@pytest.mark.parametrize("field", [fields.File(required=True), fields.File(many=True), DEEPAAS_FILE])
@pytest.mark.parametrize(
    "call",
    [
        form_call(("image", "/etc/passwd")),
        form_call(("image", "/etc/passwd"), files=[part()]),
        json_call({"image": "/etc/passwd"}),
        json_call({"image": ["/etc/passwd"]}),
        Call(query="image=/etc/passwd"),
        Call(content_type="application/x-www-form-urlencoded", body=b"image=/etc/passwd"),
    ],
)
def test_a_text_where_a_file_belongs_is_a_422(field: Any, call: Call) -> None:
    """FAULTS D17."""
    assert list(refused({"image": field}, call)) == ["image"]


@pytest.mark.parametrize("field", [fields.Str(), fields.Raw(), fields.List(fields.Str())])
def test_a_file_where_a_text_belongs_is_a_422(field: Any) -> None:
    """FAULTS D17."""
    assert refused({"image": field}, file_call(part())) == {"image": ["Give text here, not a file."]}


def test_a_file_where_json_belongs_says_what_would_be_read() -> None:
    assert refused({"image": fields.Dict()}, file_call(part())) == {
        "image": ["Give text here, not a file, or JSON of the type application/json."]
    }


def json_part(folder: Path, name: str, value: Any, content_type: str = "application/json") -> FilePart:
    path = folder / f"{name}-{uuid.uuid4().hex}"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return FilePart(name, str(path), content_type, "x.json", path.stat().st_size)


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        (fields.Dict(), [{"a": [1]}], {"a": [1]}),
        (fields.Dict(), [b'\xef\xbb\xbf{"a": 1}'], {"a": 1}),
        (fields.Nested({"a": fields.Int()}), [{"a": 1}], {"a": 1}),
        (fields.Nested({"a": fields.Int()}, many=True), [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        (fields.List(fields.Str()), [["a", "b"]], ["a", "b"]),
        (fields.List(fields.Int()), [1, 2], [1, 2]),
        (fields.List(fields.Int()), [1], [1]),
        (fields.List(fields.List(fields.Int())), [[[1], [2]]], [[1], [2]]),
        (fields.Int(), [5], 5),
        (fields.Bool(), [True], True),
    ],
)
def test_a_part_that_is_json_is_read_as_json(tmp_path: Path, field: Any, values: list[Any], expected: Any) -> None:
    parts = [json_part(tmp_path, "x", value) for value in values]
    assert parsed({"x": field}, file_call(*parts)) == {"x": expected}


def test_a_part_that_is_json_may_give_an_array(tmp_path: Path) -> None:
    values = parsed({"x": fields.NDArray()}, file_call(json_part(tmp_path, "x", [[1, 2]], "application/x+json")))
    assert values["x"].tolist() == [[1, 2]]


def test_a_part_that_says_wrongly_that_it_is_json_is_a_422(tmp_path: Path) -> None:
    assert "cannot be read" in refused({"x": fields.Dict()}, file_call(json_part(tmp_path, "x", b"{")))["x"][0]
    both = [json_part(tmp_path, "x", {}), json_part(tmp_path, "x", {})]
    assert refused({"x": fields.Dict()}, file_call(*both)) == {"x": ["Give one value here, not 2."]}


def test_a_file_that_is_json_stays_a_file(tmp_path: Path) -> None:
    assert isinstance(parsed({"x": fields.File()}, file_call(json_part(tmp_path, "x", {})))["x"], UploadedFile)


@pytest.mark.parametrize("text", ['{"x": 1}', ' {"x": 1}', "%7B%22x%22%3A+1%7D", "[1]", '{"a&b": "c=d"}'])
@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_json_that_is_sent_as_a_form_is_a_422_that_names_the_type(text: str, unknown: Any) -> None:
    call = Call(content_type="application/x-www-form-urlencoded", body=text.encode())
    with pytest.raises(InvalidArguments) as caught:
        ArgumentParser({"x": fields.Int(load_default=1)}, unknown=unknown).parse(call)
    assert "Content-Type: application/json" in caught.value.fields["_schema"][0]


def both_forms(text: str) -> list[Call]:
    """Return the same fields in the query, as a form and as a multipart form."""
    pairs = [tuple(map(unquote_plus, pair.split("="))) for pair in text.split("&")]
    form = Call(content_type="application/x-www-form-urlencoded", body=text.encode())
    return [Call(query=text), form, form_call(*pairs)]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["xs[]=1&xs[]=2&xs=3", "xs%5B%5D=1&xs=2&xs[]=3"])
def test_a_list_may_have_brackets_behind_its_name(text: str) -> None:
    for call in both_forms(text):
        assert parsed({"xs": fields.List(fields.Int())}, call) == {"xs": [1, 2, 3]}


def test_brackets_that_are_declared_or_of_no_list_are_left() -> None:
    for call in both_forms("xs[]=1"):
        assert parsed({"xs[]": fields.Int(), "xs": fields.List(fields.Int())}, call) == {"xs[]": 1}
        assert list(refused({"xs": fields.Int()}, call)) == ["xs[]"]


def test_files_may_have_brackets_behind_their_name() -> None:
    values = parsed({"image": fields.File(many=True)}, file_call(part("image[]"), part("image[]")))
    assert len(values["image"]) == 2


@pytest.mark.parametrize(
    "field", [fields.List(fields.Int()), fields.List(fields.Float()), fields.List(fields.Int(strict=True))]
)
def test_a_list_in_one_text_is_a_422_with_a_hint(field: Any) -> None:
    for call in both_forms("xs=1,2"):
        messages = refused({"xs": field}, call)["xs"]["0"]
        assert messages[1:] == ["Give several by repeating the name, xs=1&xs=2, or as JSON, [1,2]."]


def test_an_array_in_a_text_that_is_no_json_is_a_422_with_a_hint() -> None:
    assert refused({"x": fields.NDArray(shape=(None,))}, Call(query="x=1,2")) == {
        "x": ["Give an array here, as JSON such as [1,2,3]."]
    }


def test_the_charset_that_a_browser_fills_in_is_left_out() -> None:
    for call in both_forms("_charset_=UTF-8&x=3")[1:]:
        assert parsed(INT, call) == {"x": 3}
    for call in both_forms("_charset_=windows-1252&x=3")[1:]:
        with pytest.raises(UnsupportedMedia, match="windows-1252"):
            parsed(INT, call)
    assert parsed({"_charset_": fields.Str()}, form_call(("_charset_", "x"))) == {"_charset_": "x"}


def test_a_byte_order_mark_before_a_text_is_skipped() -> None:
    for call in both_forms("x=%EF%BB%BFa%EF%BB%BF"):
        assert parsed({"x": fields.Str()}, call) == {"x": "a\ufeff"}
        assert parsed({"x": fields.List(fields.Str())}, call) == {"x": ["a\ufeff"]}
    assert parsed({"x": fields.Dict()}, form_call(("x", '\ufeff{"a": 1}'))) == {"x": {"a": 1}}


class Number(enum.IntEnum):
    ONE = 1


class Strict(Schema):
    id = fields.Int(strict=True)


STRICT = fields.Int(strict=True)


@pytest.mark.parametrize(
    ("field", "texts", "expected"),
    [
        (STRICT, "x=1", 1),
        (fields.Int(strict=True, allow_none=True), "x=null", None),
        (fields.List(STRICT), "x=1&x=1", [1, 1]),
        (fields.List(STRICT), "x=[1, 1]", [1, 1]),
        (fields.Tuple((STRICT, fields.Str())), "x=1&x=1", (1, "1")),
        (fields.Tuple((fields.Str(), fields.Dict())), 'x=1&x={"a": 1}', ("1", {"a": 1})),
        (fields.Enum(Number, by_value=True), "x=1", Number.ONE),
        (fields.Enum(Number, by_value=STRICT), "x=1", Number.ONE),
        (fields.List(fields.Enum(Number, by_value=True)), "x=1", [Number.ONE]),
        (fields.Pluck(Strict, "id"), "x=1", {"id": 1}),
        (fields.Pluck(Strict, "id", many=True), "x=1&x=2", [{"id": 1}, {"id": 2}]),
        (fields.Bool(truthy={True}, falsy={False}), "x=true", True),
        (fields.Dict(values=STRICT), 'x={"a": 1}', {"a": 1}),
        (fields.NDArray(shape=(None,)), "x=1&x=2", [1, 2]),
    ],
)
def test_a_text_stands_for_the_value_where_a_field_takes_no_text(field: Any, texts: str, expected: Any) -> None:
    for call in both_forms(texts):
        (value,) = parsed({"x": field}, call).values()
        assert (value.tolist() if isinstance(value, np.ndarray) else value) == expected


@pytest.mark.parametrize("name", ["x_token", "X-Token"])
def test_a_header_stands_for_the_value_where_a_field_takes_no_text(name: str) -> None:
    place = {"location": "headers"}
    declared = {name: fields.Int(strict=True, metadata=place), "tags": fields.List(STRICT, metadata=place)}
    assert parsed(declared, Call(headers={"x-token": "3", "tags": "1, 2"})) == {name: 3, "tags": [1, 2]}


@pytest.mark.parametrize("text", ["abc", "", "3.0", "3.5", "[1]", "true", "1,2"])
def test_a_text_that_is_no_such_value_is_a_422_in_the_words_of_the_field(text: str) -> None:
    for call in both_forms(f"x={text}"):
        assert refused({"x": STRICT}, call) == {"x": ["Not a valid integer."]}


def test_several_files_where_one_belongs_are_a_422() -> None:
    assert refused({"image": fields.File()}, file_call(part(), part())) == {"image": ["Give one file here, not 2."]}


def test_an_empty_file_is_a_file_and_an_untouched_file_input_is_none() -> None:
    """FAULTS D18."""
    untouched = part(filename="", size=0, content_type="application/octet-stream")
    assert parsed({"image": fields.File()}, file_call(part(size=0)))["image"].size == 0
    assert parsed({"image": fields.File()}, file_call(untouched)) == {}
    assert parsed({"image": fields.File(many=True)}, file_call(untouched, part()))["image"][0].size == 5
    assert refused({"image": fields.File(required=True)}, file_call(untouched)) == {
        "image": ["Missing data for required field."]
    }


@pytest.mark.parametrize("text", ["2024-01-01T10:00:00 02:00", "2024-01-01 10:00 0200", "2024-01-01T10:00:00.5 02:00"])
def test_a_plus_of_an_offset_that_was_not_escaped_is_one(text: str) -> None:
    """https://github.com/fastapi/fastapi/issues/2677: it is a space once the query is read."""
    for call in both_forms(f"x={text.replace(' 02', '+02')}"):
        for field in (fields.DateTime(), fields.AwareDateTime()):
            assert parsed({"x": field}, call)["x"].utcoffset() == timedelta(hours=2)
        assert parsed({"x": fields.List(fields.DateTime())}, call)["x"][0].utcoffset() == timedelta(hours=2)
        assert parsed({"x": fields.Str()}, call)["x"] == text
        assert refused({"x": fields.DateTime(format="%d.%m.%Y")}, call) == {"x": ["Not a valid datetime."]}
    for wrong in ("2024-01-01+x", "2024-01-01T10:00:00+x", "10:00:00+02:00"):
        assert refused({"x": fields.DateTime()}, Call(query=f"x={wrong}")) == {"x": ["Not a valid datetime."]}


def test_an_empty_text_where_a_file_belongs_is_none() -> None:
    """Swagger's page sends one where "Send empty value" is ticked: https://github.com/apiflask/apiflask/issues/551."""
    for declared in (fields.File(), fields.File(many=True), fields.List(fields.File())):
        assert parsed({"image": declared}, form_call(("image", ""))) == {}
    assert parsed({"image": fields.File()}, form_call(("image", ""), files=[part()]))["image"].size == 5
    required = {"image": ["Missing data for required field."]}
    assert refused({"image": fields.File(required=True)}, form_call(("image", ""))) == required
    assert refused({"image": DEEPAAS_FILE}, form_call(("image", ""))) == required
    words = {"image": ["Give a file here, as a part of a multipart form."]}
    assert refused({"image": fields.File()}, form_call(("image", "seven.png"))) == words


def test_a_file_has_its_rules_checked() -> None:
    field = fields.File(media_types=("image/jpeg",))
    assert refused({"image": field}, file_call(part())) == {
        "image": ["The file is of type image/png; accepted are image/jpeg."]
    }


def test_null_for_a_file_is_as_the_field_says() -> None:
    assert parsed({"image": fields.File(allow_none=True)}, json_call({"image": None})) == {"image": None}
    assert refused({"image": fields.File()}, json_call({"image": None})) == {"image": ["Field may not be null."]}


@pytest.mark.parametrize(
    ("location", "call"),
    [
        ("query", Call(query="x=3")),
        ("querystring", Call(query="x=3")),
        ("form", form_call(("x", "3"))),
        ("json", json_call({"x": 3})),
        ("headers", Call(headers={"x": "3"})),
    ],
)
def test_a_field_is_read_from_its_own_location(location: str, call: Call) -> None:
    assert parsed({"x": fields.Int(required=True, metadata={"location": location})}, call) == {"x": 3}


@pytest.mark.parametrize(
    ("location", "call", "message"),
    [
        ("query", json_call({"x": 3}), "Give this argument in the query string, not in a JSON body."),
        ("query", json_call({"x": 3}, query="x=3"), "Give this argument in the query string, not in a JSON body."),
        ("form", Call(query="x=3"), "Give this argument as a part of a form, not in the query string."),
        ("json", form_call(("x", "3")), "Give this argument in a JSON body, not as a part of a form."),
        ("headers", Call(query="x=3"), "Give this argument as a request header, not in the query string."),
    ],
)
def test_an_argument_in_another_location_is_a_422_that_names_the_right_one(
    location: str, call: Call, message: str
) -> None:
    assert refused({"x": fields.Int(metadata={"location": location})}, call) == {"x": [message]}


@pytest.mark.parametrize("header", ["x-api-key", "x_api_key"])
@pytest.mark.parametrize(
    "declared",
    [
        {"x_api_key": fields.Str(metadata={"location": "headers"})},
        {"key": fields.Str(data_key="X_Api_Key", metadata={"location": "headers"})},
    ],
)
def test_a_header_is_found_whatever_its_case_and_dashes(header: str, declared: Any) -> None:
    parser = ArgumentParser(declared)
    assert parser.headers == ("x-api-key", "x_api_key")
    assert list(parser.parse(Call(headers={header: "secret"})).values.values()) == ["secret"]


def test_a_list_in_a_header_is_separated_by_commas() -> None:
    declared = {"tags": fields.List(fields.Str(), metadata={"location": "headers"})}
    assert parsed(declared, Call(headers={"tags": "a, b"})) == {"tags": ["a", "b"]}


def test_a_header_is_not_read_for_a_field_of_another_place() -> None:
    assert parsed({"x": fields.Int()}, Call(headers={"x": "3"})) == {}
    assert ArgumentParser({"x": fields.Int()}).headers == ()


def test_all_misplaced_arguments_are_told_at_once() -> None:
    declared = {"a": fields.Int(), "b": fields.Int(metadata={"location": "json"}), "c": fields.Int(required=True)}
    assert list(refused(declared, Call(query="a=1&a=2&b=3"))) == ["a", "b"]


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/plain", "text/plain; charset=latin1", FORM, "x"]
)
def test_a_body_without_bytes_gives_nothing_whatever_its_type(content_type: str) -> None:
    parser = ArgumentParser({"x": fields.Int(load_default=3)})
    assert parser.parse(Call(content_type=content_type)).values == {"x": 3}
    assert parser.parse(Call(content_type=content_type, query="x=4")).values == {"x": 4}
