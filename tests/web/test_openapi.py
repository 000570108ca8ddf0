"""The OpenAPI 3.1 document, on hand-made models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from modelserve.messages import Argument, Description, Metadata
from modelserve.web.openapi import build_openapi
from modelserve.web.openapi_predict import TIMEOUT_PARAMETER
from tests.web.descriptions import argument, boxes, everything, hostile, plain, silent, vision


def build(models: Mapping[str, Description], base_path: str = "") -> dict[str, Any]:
    """Return the document after it was written and read again, as a client has it, and checked."""
    document: dict[str, Any] = orjson.loads(
        orjson.dumps(build_openapi(models, title="Test", version="1.0", base_path=base_path))
    )
    validate(document, cls=OpenAPIV31SpecValidator)
    return document


def predict(model: Description, name: str = "m") -> dict[str, Any]:
    """Return the predict operation of a server's only model."""
    operation: dict[str, Any] = build({name: model})["paths"][f"/v2/models/{name}/predict/"]["post"]
    return operation


def taking(*arguments: Argument) -> Description:
    return Description(metadata=Metadata("m", "M", "Takes."), implements=["predict"], predict=list(arguments))


@pytest.mark.parametrize("name", everything())
def test_the_document_of_each_model_is_valid(name: str) -> None:
    build({name: everything()[name]})


def test_the_document_of_all_models_is_valid() -> None:
    build(everything())


def test_a_server_without_models_has_a_valid_document() -> None:
    assert "/v2/models/" in build({})["paths"]


def test_the_base_path_is_the_server() -> None:
    assert build({}, "/lab")["servers"] == [{"url": "/lab"}]
    assert build({})["servers"] == [{"url": "/"}]


def test_every_route_of_the_server_is_there() -> None:
    assert set(build({"plain": plain()})["paths"]) == {
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v2/",
        "/v2/models/",
        "/v2/models/{name}/",
        "/v2/models/{name}/log",
        "/v2/models/plain/predict/",
    }


def test_a_model_that_does_not_predict_has_no_predict_path() -> None:
    assert not [path for path in build(everything())["paths"] if "trains.only" in path]


def test_operation_ids_are_unique_and_safe() -> None:
    paths = build({"a-b": silent(), "a.b": silent(), "a_b": silent()})["paths"]
    ids = [
        operation["operationId"]
        for item in paths.values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))
    assert {"predict_a_b", "predict_a_b_2", "predict_a_b_3"} <= set(ids)
    assert all(re.fullmatch("[A-Za-z0-9_]+", each) for each in ids)


def test_a_tag_says_what_the_model_is() -> None:
    tag = build({"plain": plain()})["tags"][0]
    assert tag == {
        "name": "plain",
        "description": "Adds one, for x < 10.\n\nVersion: 1.2, Author: Ada, Licence: MIT",
        "externalDocs": {"url": "https://example.org/p", "description": "Home page"},
    }


def test_an_address_that_is_no_web_page_is_not_linked() -> None:
    assert "externalDocs" not in build({"hostile": hostile()})["tags"][0]


def test_a_model_without_arguments_takes_no_body() -> None:
    operation = predict(silent())
    assert "requestBody" not in operation
    assert operation["parameters"] == [TIMEOUT_PARAMETER]


def test_a_body_lists_what_may_stand_in_it() -> None:
    body = predict(plain())["requestBody"]
    assert body["required"] is True
    assert list(body["content"]) == ["application/json", "multipart/form-data", "application/x-www-form-urlencoded"]
    schemas = {media_type: content["schema"] for media_type, content in body["content"].items()}
    assert list(schemas["application/json"]["properties"]) == ["x", "tags", "note", "weights"]
    assert list(schemas["multipart/form-data"]["properties"]) == ["x", "tags", "note", "label"]
    assert list(schemas["application/x-www-form-urlencoded"]["properties"]) == ["x", "tags", "note", "label"]
    assert all(schema["required"] == ["x"] for schema in schemas.values())
    assert all(schema["additionalProperties"] is False for schema in schemas.values())


def test_arguments_bound_to_query_or_headers_are_parameters() -> None:
    assert predict(plain())["parameters"] == [
        {"name": "x-tenant", "in": "header", "required": True, "schema": {"type": "string"}},
        {
            "name": "limit",
            "in": "query",
            "required": False,
            "description": "How many.",
            "schema": {"type": "integer", "default": 3},
        },
        {
            "name": "where",
            "in": "query",
            "required": False,
            "content": {"application/json": {"schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
        },
        TIMEOUT_PARAMETER,
    ]


@pytest.mark.parametrize(
    ("schema", "is_flat"),
    [
        ({"type": "string"}, True),
        ({}, True),
        ({"type": ["integer", "null"]}, True),
        ({"type": "array", "items": {"type": "number"}}, True),
        ({"type": "array"}, True),
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, False),
        ({"type": ["object", "null"]}, False),
        ({"anyOf": [{"type": "array"}, {"type": "string"}]}, False),
    ],
)
def test_a_query_parameter_that_is_no_flat_list_is_json_text(schema: dict[str, Any], is_flat: bool) -> None:
    parameter = predict(taking(argument("q", schema, location="query")))["parameters"][0]
    assert ("schema" in parameter) is is_flat
    assert ("content" in parameter) is not is_flat


def test_a_header_that_openapi_reserves_is_no_parameter() -> None:
    operation = predict(taking(argument("Accept", {"type": "string"}, location="headers")))
    assert operation["parameters"] == [TIMEOUT_PARAMETER]
    assert "requestBody" not in operation


def test_accept_is_a_query_parameter_and_leaves_the_choice_to_the_header() -> None:
    operation = predict(vision())
    accept = operation["parameters"][0]
    assert (accept["name"], accept["in"], accept["required"]) == ("accept", "query", False)
    assert accept["schema"] == {"type": "string", "enum": ["application/json", "image/png", "text/csv"]}
    assert "accept" not in operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]


def test_a_required_file_leaves_only_multipart() -> None:
    assert list(predict(vision())["requestBody"]["content"]) == ["multipart/form-data"]


def test_an_optional_file_leaves_json_as_the_second_choice() -> None:
    content = predict(vision(required=False))["requestBody"]["content"]
    assert list(content) == ["multipart/form-data", "application/json"]
    assert list(content["application/json"]["schema"]["properties"]) == ["top_k", "note", "scale", "words"]


def test_files_are_binary_with_their_media_types() -> None:
    content = predict(vision())["requestBody"]["content"]["multipart/form-data"]
    properties = content["schema"]["properties"]
    assert properties["image"] == {
        "type": "string",
        "format": "binary",
        "description": "A picture.",
    }
    assert properties["more"] == {"type": "array", "items": {"type": "string", "format": "binary"}}
    assert content["encoding"]["image"] == {"contentType": "image/png, image/jpeg"}
    assert "more" not in content["encoding"]


def test_a_list_in_a_form_is_one_part_for_each_item() -> None:
    """U1: clients join them by commas otherwise."""
    numbers = {"type": "array", "items": {"type": "integer"}}
    array = {"anyOf": [numbers, {"type": "string", "contentEncoding": "base64"}]}
    content = predict(
        taking(
            argument("xs", numbers),
            argument("or_null", {**numbers, "type": ["array", "null"]}),
            argument("vector", array),
            argument("x", {"type": "integer"}),
        )
    )["requestBody"]["content"]
    several = {"style": "form", "explode": True}
    for media_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        assert content[media_type]["encoding"] == {"xs": several, "or_null": several, "vector": several}
    assert "encoding" not in content["application/json"]


def test_arguments_that_no_one_body_can_carry_are_still_shown() -> None:
    operation = predict(
        taking(
            argument("a", {"type": "string"}, location="json", required=True),
            argument("b", {"type": "string"}, location="form", required=True),
        )
    )
    assert set(operation["requestBody"]["content"]) == {
        "application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    }


def test_the_answer_is_the_models_schema_in_json_and_bytes_otherwise() -> None:
    content = predict(vision())["responses"]["200"]["content"]
    assert content == {
        "application/json": {"schema": {"$ref": "#/components/schemas/m.Item"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "text/csv": {"schema": {"type": "string"}},
    }


def test_a_model_without_a_schema_answers_the_default_envelope() -> None:
    content = predict(silent())["responses"]["200"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/Prediction"}}}


def test_every_error_is_told() -> None:
    document = build({"m": plain()})
    responses = document["paths"]["/v2/models/m/predict/"]["post"]["responses"]
    assert set(responses) == {"200", "400", "404", "406", "408", "413", "415", "422", "500", "503", "504"}
    for status in set(responses) - {"200"}:
        assert responses[status] == {"$ref": f"#/components/responses/Error{status}"}
        response = document["components"]["responses"][f"Error{status}"]
        schema = "InvalidArguments" if status == "422" else "Error"
        assert response["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{schema}"}
        assert "X-Request-ID" in response["headers"]
        assert ("Retry-After" in response["headers"]) is (status == "503")


def test_components_of_two_models_do_not_clash() -> None:
    document = build({"vision": vision(), "boxes": boxes()})
    schemas = document["components"]["schemas"]
    assert schemas["vision.Item"]["properties"] == {"label": {"type": "string"}}
    children = schemas["boxes.Item"]["properties"]["children"]
    assert children == {"type": "array", "items": {"$ref": "#/components/schemas/boxes.Item"}}
    assert "Item" not in schemas


def test_component_names_hold_only_what_openapi_allows() -> None:
    names = build(everything())["components"]["schemas"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_no_reference_leaves_the_document() -> None:
    text = orjson.dumps(build(everything())).decode()
    assert set(re.findall(r'"\$ref":"([^#])', text)) == set()


def test_the_name_of_a_path_is_escaped() -> None:
    paths = build({"a{b}/c": silent()})["paths"]
    assert "/v2/models/a%7Bb%7D%2Fc/predict/" in paths


def test_a_model_that_streams_tells_its_forms_and_what_each_item_is() -> None:
    types = ["text/event-stream", "application/x-ndjson", "application/octet-stream", "text/plain"]
    model = msgspec.structs.replace(plain(), streams=True, media_types=types)
    answer = predict(model)["responses"]["200"]
    assert answer["description"].startswith("The answer, streamed")
    assert list(answer["content"]) == types
    for media_type in types[:2]:
        assert answer["content"][media_type]["schema"] == {"type": "string"}
        assert "x-itemSchema" in answer["content"][media_type]
    assert answer["content"]["application/octet-stream"] == {"schema": {"type": "string", "format": "binary"}}
    assert answer["content"]["text/plain"] == {"schema": {"type": "string"}}


def test_the_deadline_is_a_header_of_every_predict_route() -> None:
    parameter = predict(plain())["parameters"][-1]
    assert (parameter["name"], parameter["in"]) == ("X-Timeout-S", "header")
