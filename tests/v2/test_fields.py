"""The fields that authors declare, and files in particular; arrays are in test_arrays."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import webargs.fields
from marshmallow import ValidationError

from modelserve.messages import FileRule
from modelserve.v2 import fields
from modelserve.v2.fields import file_rule
from modelserve.v2.files import UploadedFile


def upload(content_type: str = "image/png", name: str = "seven.png", size: int = 12, path: str = "") -> UploadedFile:
    return UploadedFile("image", path, content_type, name, size)


def refusal(field: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        field.deserialize(value)
    (message,) = caught.value.messages
    return str(message)


def test_all_of_webargs_fields_is_there() -> None:
    own = {"DelimitedList", "List", "Nested"}
    assert all(issubclass(getattr(fields, name), getattr(webargs.fields, name)) for name in own)
    shared = set(webargs.fields.__all__) - own
    assert all(getattr(fields, name) is getattr(webargs.fields, name) for name in shared)
    assert set(webargs.fields.__all__) | {"File", "NDArray"} <= set(fields.__all__)


def test_a_file_is_passed_on_as_it_is() -> None:
    file = upload()
    assert fields.File().deserialize(file) is file
    assert fields.File(many=True).deserialize(file) == [file]
    assert fields.File(many=True).is_multiple
    assert fields.File(many=True).deserialize([file, file]) == [file, file]


@pytest.mark.parametrize("value", ["/etc/passwd", "", b"bytes", 3, {"filename": "/etc/passwd"}])
@pytest.mark.parametrize("many", [False, True])
def test_what_is_no_upload_is_no_file(value: Any, many: bool) -> None:
    """FAULTS D17."""
    assert refusal(fields.File(many=many), value) == "Give a file here, as a part of a multipart form."


def test_several_files_where_one_belongs_are_refused() -> None:
    assert refusal(fields.File(), [upload(), upload()]) == "Give one file here, not 2."


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("image/png", ""),
        ("IMAGE/PNG; x=y", ""),
        ("audio/wav", ""),
        ("audio/ogg", "x.png"),
        ("", "seven.PNG"),
        ("application/octet-stream", "seven.png"),
    ],
)
def test_accepted_media_types_pass(content_type: str, name: str) -> None:
    field = fields.File(media_types=("Image/PNG", "audio/*"))
    assert field.deserialize(upload(content_type, name)).original_filename == name


@pytest.mark.parametrize(
    ("content_type", "name", "shown"),
    [
        ("text/plain", "x.png", "text/plain"),
        ("image/pngx", "", "image/pngx"),
        ("audio", "", "audio"),
        ("", "x", "unknown"),
        ("", "notes.txt", "text/plain"),
        ("application/octet-stream", "x", "application/octet-stream"),
    ],
)
def test_another_media_type_is_refused_with_what_is_accepted(content_type: str, name: str, shown: str) -> None:
    field = fields.File(media_types=("image/png", "audio/*"))
    expected = f"The file is of type {shown}; accepted are image/png, audio/*."
    assert refusal(field, upload(content_type, name)) == expected


def test_media_types_may_be_anything() -> None:
    assert fields.File(media_types=["*/*"]).deserialize(upload("x/y"))
    with pytest.raises(TypeError, match=r'\["image/png"\]'):
        fields.File(media_types="image/png")


def test_too_large_a_file_is_refused_and_an_empty_one_is_not() -> None:
    """FAULTS D18."""
    field = fields.File(max_bytes=12)
    assert field.deserialize(upload(size=12)).size == 12
    assert field.deserialize(upload(size=0)).size == 0
    assert refusal(field, upload(size=13)) == "The file has 13 bytes; at most 12 are accepted."


def test_a_file_field_has_its_rule_and_deepaas_fields_have_one_too() -> None:
    deepaas = fields.Raw(metadata={"type": "file", "location": "form"})
    assert file_rule(fields.File(media_types=("a/b",), max_bytes=5)) == FileRule(False, ["a/b"], 5)
    assert file_rule(deepaas) == FileRule()
    assert file_rule(fields.List(deepaas)) == FileRule(many=True)
    assert file_rule(fields.List(fields.File(max_bytes=3))) == FileRule(many=True, max_bytes=3)
    assert file_rule(fields.Str()) is None
    assert file_rule(fields.List(fields.Str())) is None


def test_other_fields_are_as_they_are_in_marshmallow() -> None:
    assert fields.Date().deserialize("2026-01-01") == datetime.date(2026, 1, 1)
