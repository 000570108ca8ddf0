"""What the two documents say of who may call: valid, and only where there are clients."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator, validate

from modelserve.web.access_text import Access, openapi_access, swagger_access
from modelserve.web.openapi import build_openapi
from modelserve.web.swagger import build_swagger
from tests.web.descriptions import plain, vision

NOBODY = Access(None, frozenset())
MODELS = {"plain": plain(), "vision": vision()}


def openapi(access: Access) -> dict[str, Any]:
    document = openapi_access(build_openapi(MODELS, title="T", version="1", base_path=""), access)
    validate(document, cls=OpenAPIV31SpecValidator)
    return document


def swagger(access: Access) -> dict[str, Any]:
    document = swagger_access(build_swagger(MODELS, title="T", version="1", base_path=""), access)
    validate(document, cls=OpenAPIV2SpecValidator)
    return document


def test_a_server_without_clients_says_nothing_of_them() -> None:
    assert openapi(NOBODY) == build_openapi(MODELS, title="T", version="1", base_path="")
    assert swagger(NOBODY) == build_swagger(MODELS, title="T", version="1", base_path="")


@pytest.mark.parametrize("make", [openapi, swagger])
def test_all_but_what_is_open_needs_a_token(make: Any) -> None:
    document = make(Access(frozenset({"vision"}), frozenset()))
    either: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]
    assert document["security"] == either
    operations = {path: next(iter(item.values())) for path, item in document["paths"].items()}
    own = {path: operation["security"] for path, operation in operations.items() if "security" in operation}
    assert own == {
        "/healthz": [],
        "/readyz": [],
        "/v2/models/{name}/": [{}, *either],
        "/v2/models/vision/predict/": [{}, *either],
    }
    for path, operation in operations.items():
        assert ({"401", "403", "429"} <= operation["responses"].keys()) == (path not in ("/healthz", "/readyz"))


def test_both_schemes_are_named() -> None:
    access = Access(frozenset(), frozenset())
    schemes = openapi(access)["components"]["securitySchemes"]
    assert {name: scheme["scheme"] for name, scheme in schemes.items()} == {"bearer": "bearer", "basic": "basic"}
    schemes = swagger(access)["securityDefinitions"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {"bearer": "apiKey", "basic": "basic"}


def test_a_limit_of_the_rate_is_told_without_clients_too() -> None:
    paths = openapi(Access(None, frozenset({"plain"})))["paths"]
    limited = {path for path, item in paths.items() for each in item.values() if "429" in each["responses"]}
    assert limited == {"/v2/models/plain/predict/"}
