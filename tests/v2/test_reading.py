"""How each declared argument is read, by its field alone; what comes of it is in test_merging."""

from __future__ import annotations

from typing import Any

import pytest

from modelserve.errors import ContractError
from modelserve.v2 import fields
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.reading import Reading, header_names, location_of, reading_of, wire_name


def test_an_unknown_location_is_an_error_of_the_model() -> None:
    with pytest.raises(ContractError, match="location is 'cookies'; it must be one of query, querystring"):
        ArgumentParser({"x": fields.Int(metadata={"location": "cookies"})})
    assert location_of(fields.Int(metadata={"location": None})) == ""


@pytest.mark.parametrize(
    ("said", "location"),
    [("query", "query"), ("querystring", "query"), ("form", "form"), ("files", "form"), ("json", "json"), ("", "")],
)
def test_the_names_of_webargs_mean_our_places(said: str, location: str) -> None:
    assert location_of(fields.Int(metadata={"location": said})) == location
    assert location_of(fields.Int()) == ""


def test_a_header_is_looked_up_in_lower_case_with_dashes_first() -> None:
    assert header_names("Tags") == ("tags",)
    assert header_names("X_Api_Key") == ("x-api-key", "x_api_key")


def test_the_name_on_the_wire_is_the_data_key() -> None:
    assert wire_name("x", fields.Int()) == "x"
    assert wire_name("x", fields.Int(data_key="")) == ""


@pytest.mark.parametrize(
    ("field", "reading"),
    [
        (fields.Int(), Reading("x", "")),
        (fields.File(), Reading("x", "", file=True, text=False)),
        (fields.File(many=True), Reading("x", "", file=True, text=False, shape="list")),
        (fields.NDArray(shape=(None,)), Reading("x", "", file=True, shape="vector")),
        (fields.NDArray(), Reading("x", "", file=True, shape="array")),
        (fields.Dict(), Reading("x", "", meanings=("json",))),
        (fields.List(fields.Str()), Reading("x", "", shape="list")),
        (fields.List(fields.Dict()), Reading("x", "", shape="list", meanings=("json",), whole=True)),
    ],
)
def test_a_field_says_how_it_is_read(field: Any, reading: Reading) -> None:
    assert reading_of("x", field) == reading
