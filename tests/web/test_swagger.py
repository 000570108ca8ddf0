"""The Swagger 2.0 document, as DEEPaaS's clients read it, on hand-made models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, validate

from modelserve.messages import Argument, Description
from modelserve.web.openapi import build_openapi
from modelserve.web.swagger import build_swagger
from tests.web.descriptions import boxes, everything, plain, silent, vision


def build(models: Mapping[str, Description], base_path: str = "") -> dict[str, Any]:
    """Return the document after it was written and read again, as a client has it, and checked."""
    document: dict[str, Any] = orjson.loads(
        orjson.dumps(build_swagger(models, title="Test", version="1.0", base_path=base_path))
    )
    validate(document, cls=OpenAPIV2SpecValidator)
    return document


@pytest.mark.parametrize("name", everything())
def test_the_document_of_each_model_is_valid(name: str) -> None:
    build({name: everything()[name]})


def test_the_document_of_all_models_is_valid() -> None:
    build(everything())


def test_both_documents_tell_of_the_same_operations() -> None:
    new = build_openapi(everything(), title="Test", version="1.0", base_path="")

    def ids(document: Mapping[str, Any]) -> set[tuple[str, str]]:
        return {
            (path, each["operationId"])
            for path, item in document["paths"].items()
            for method, each in item.items()
            if method != "parameters"
        }

    assert ids(build(everything())) == ids(new)


def test_the_base_path_is_told() -> None:
    assert build({}, "/lab")["basePath"] == "/lab"
    assert build({})["basePath"] == "/"


def test_the_parameters_are_the_models_own() -> None:
    operation = build({"plain": plain()})["paths"]["/v2/models/plain/predict/"]["post"]
    assert operation["parameters"] == [argument.parameter for argument in plain().predict]


def test_accept_is_the_last_and_what_json_alone_gives_is_the_body() -> None:
    def parameters(*names: str) -> list[dict[str, Any]]:
        model = msgspec.structs.replace(plain(), predict=[arguments[name] for name in names])
        found: list[dict[str, Any]] = build({"m": model})["paths"]["/v2/models/m/predict/"]["post"]["parameters"]
        return found

    def argument(name: str, location: str, parameter: dict[str, Any], required: bool = False) -> Argument:
        base = {"name": name, "required": required, **parameter}
        return Argument(name, location, required, {"type": "integer"}, base)

    number = {"type": "integer"}
    arguments = {
        "accept": argument("accept", "", {"in": "query", "type": "string"}),
        "a": argument("a", "", {"in": "query", **number}),
        "b": argument("b", "json", {"in": "body", "schema": number}, required=True),
        "c": argument("c", "json", {"in": "body", "schema": {"type": "object"}}),
        "d": argument("d", "form", {"in": "formData", **number}),
    }
    assert [each["name"] for each in parameters("accept", "a")] == ["a", "accept"]
    told = parameters("b", "accept", "c")
    assert [each["name"] for each in told] == ["accept", "body"]
    members = {"b": number, "c": {"type": "object"}}
    assert told[1]["schema"] == {"type": "object", "properties": members, "required": ["b"]}
    assert [each["name"] for each in parameters("b", "d")] == ["d"]


def test_a_model_without_files_consumes_json_and_forms() -> None:
    operation = build({"plain": plain()})["paths"]["/v2/models/plain/predict/"]["post"]
    assert operation["consumes"] == ["application/json", "application/x-www-form-urlencoded"]


def test_a_model_with_files_consumes_multipart() -> None:
    operation = build({"vision": vision()})["paths"]["/v2/models/vision/predict/"]["post"]
    assert operation["consumes"] == ["multipart/form-data"]
    assert operation["parameters"][0]["type"] == "file"
    assert operation["produces"] == ["application/json", "image/png", "text/csv"]


def test_the_answer_of_the_first_model_has_the_name_that_clients_look_for() -> None:
    document = build({"silent": silent(), "plain": plain(), "vision": vision()})
    assert document["definitions"]["ModelPredictionResponse"]["properties"] == {"y": {"type": "integer"}}
    assert document["definitions"]["vision.ModelPredictionResponse"]["properties"] == {"label": {"type": "string"}}
    answer = document["paths"]["/v2/models/plain/predict/"]["post"]["responses"]["200"]
    assert answer["schema"] == {"$ref": "#/definitions/ModelPredictionResponse"}


def test_an_answer_that_is_only_a_reference_shows_its_properties() -> None:
    assert "properties" in build({"vision": vision()})["definitions"]["ModelPredictionResponse"]


def test_a_model_without_a_schema_answers_the_default_envelope() -> None:
    document = build({"silent": silent()})
    answer = document["paths"]["/v2/models/silent/predict/"]["post"]["responses"]["200"]
    assert answer["schema"] == {"$ref": "#/definitions/Prediction"}
    assert "ModelPredictionResponse" not in document["definitions"]


def test_a_model_that_never_answers_json_answers_bytes() -> None:
    model = Description(metadata=silent().metadata, implements=["predict"], media_types=["image/png"])
    answer = build({"m": model})["paths"]["/v2/models/m/predict/"]["post"]["responses"]["200"]
    assert answer["schema"] == {"type": "string", "format": "binary"}


def test_definitions_of_two_models_do_not_clash() -> None:
    definitions = build({"vision": vision(), "boxes": boxes()})["definitions"]
    assert definitions["vision.Item"]["properties"] == {"label": {"type": "string"}}
    children = definitions["boxes.Item"]["properties"]["children"]
    assert children["items"] == {"$ref": "#/definitions/boxes.Item"}


def test_every_error_is_told() -> None:
    document = build({"m": plain()})
    responses = document["paths"]["/v2/models/m/predict/"]["post"]["responses"]
    assert set(responses) == {"200", "400", "404", "406", "408", "413", "415", "422", "500", "503", "504"}
    assert document["responses"]["Error422"]["schema"] == {"$ref": "#/definitions/InvalidArguments"}
    assert "Retry-After" in document["responses"]["Error503"]["headers"]


def test_a_model_that_streams_tells_its_forms_and_promises_no_json() -> None:
    types = ["text/event-stream", "application/x-ndjson", "application/json"]
    document = build({"m": msgspec.structs.replace(plain(), streams=True, media_types=types)})
    operation = document["paths"]["/v2/models/m/predict/"]["post"]
    assert operation["produces"] == types
    assert operation["responses"]["200"]["schema"] == {"type": "string", "format": "binary"}
