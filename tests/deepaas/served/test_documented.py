"""All that DEEPaaS's page on its V2 API shows, typed in as it stands there and installed by pbr as it is told there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.running import Reply, Running, eventually, multipart, running


@pytest.fixture(scope="module")
def server(old_packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([], folder=tmp_path_factory.mktemp("page"), visible=[old_packages["documented_module"]]) as started:
        yield started


def ask(server: Running, model: str, accept: str = "", **query: str) -> Reply:
    headers = {"Accept": accept} if accept else {}
    return server.request("POST", f"/v2/models/{model}/predict/?{urlencode(query)}", None, headers)


def test_the_metadata(server: Running) -> None:
    shown = server.get("/v2/models/my_model/").json()
    expected = {
        "author": "Author name",
        "description": "Model description",
        "license": "Model's license",
        "version": "Model version",
    }
    assert shown["id"] == shown["name"] == "my_model"
    assert {key: shown[key] for key in expected} == expected


def test_the_arguments_and_warm(server: Running) -> None:
    assert ask(server, "my_model").json() == {"status": "OK", "predictions": "foo [True]"}
    assert ask(server, "my_model", arg1="choice1").json()["predictions"] == "choice1 [True]"
    (parameter,) = server.get("/swagger.json").json()["paths"]["/v2/models/my_model/predict/"]["post"]["parameters"]
    assert (parameter["default"], parameter["enum"]) == ("foo", ["choice1", "choice2"])
    assert (parameter["description"], parameter["required"]) == ("Argument one", False)


def test_a_training(server: Running) -> None:
    begun = server.request("POST", "/v2/models/my_model/train/?arg1=choice2").json()
    path = f"/v2/models/my_model/train/{begun['uuid']}"
    eventually(lambda: server.get(path).json()["status"] == "done", within_s=60)
    assert server.get(path).json()["result"]["output"] == {"arg1": "choice2"}


def test_a_file(server: Running) -> None:
    body, kind = multipart({}, {"data": ("a.txt", b"abc", "text/plain")})
    reply = server.request("POST", "/v2/models/my_file_model/predict/", body, {"Content-Type": kind})
    expected = {"name": "data", "content_type": "text/plain", "original_filename": "a.txt", "content": "abc"}
    assert reply.json()["predictions"] == expected
    assert ask(server, "my_file_model").json()["predictions"] == {"data": None}


def test_an_address(server: Running) -> None:
    assert ask(server, "my_url_model", url="https://a.org/b").json()["predictions"] == {"url": "https://a.org/b"}
    assert ask(server, "my_url_model", url="b").invalid() == {"url": ["Not a valid URL."]}


def test_content_types(server: Running) -> None:
    for reply in (ask(server, "my_typed_model"), ask(server, "my_typed_model", "application/zip")):
        assert reply.headers["Content-Type"] == "application/zip"
        assert zipfile.ZipFile(io.BytesIO(reply.body)).namelist() == ["a.txt"]
    image = ask(server, "my_typed_model", accept="image/png")
    assert (image.headers["Content-Type"], image.body) == ("image/png", b"\x89PNG\r\n")
    assert ask(server, "my_typed_model", "application/json").json() == {"status": "OK", "predictions": {"some": "json"}}


@pytest.mark.parametrize("model", ["my_dict_model", "my_schema_model"])
def test_schemas(server: Running, model: str) -> None:
    rows = [{"label": "foo", "probability": 1.0}, {"label": "bar", "probability": 0.5}]
    assert ask(server, model).json() == {"status": "OK", "predictions": rows}


def test_a_class(old_packages: dict[str, Path], tmp_path: Path) -> None:
    with running(["--model-name", "my_model"], folder=tmp_path, visible=[old_packages["documented_class"]]) as server:
        assert ask(server, "my_model").json()["predictions"] == {"arg1": "foo", "weights": [1, 2]}
        assert server.get("/v2/models/my_model/").json()["name"] == "My model"
