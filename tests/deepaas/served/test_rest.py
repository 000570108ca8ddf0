"""Metadata, trainings, and what the routes answer to requests that are not quite right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import Running, eventually, multipart

MODELS = "/v2/models/"


def test_every_model_is_listed_with_what_it_says_of_itself(server: Running) -> None:
    listed = {model["id"]: model for model in server.get(MODELS).json()["models"]}
    assert sorted(listed) == ["audio_tagger", "leaf_classifier", "sea_forecast", "tile-segmenter"]
    assert {model["status"] for model in listed.values()} == {"ready"}
    leaf = listed["leaf_classifier"]
    assert (leaf["description"], leaf["author"]) == ("Tells leaves apart.", "A. Botanist")
    assert (leaf["license"], leaf["version"], leaf["url"]) == ("MIT", "1.0.0", "https://example.org/leaves")
    assert (leaf["date"], leaf["Author-email"]) == ("2020-01-01", "botanist@example.org")
    tile = listed["tile-segmenter"]
    assert (tile["name"], tile["author"]) == ("tile-segmenter", ["A. Geographer", "B. Hydrologist"])
    assert tile["datasets"] == ["lakes", "rivers"]
    assert listed["audio_tagger"]["description"] == "The model audio_tagger."
    assert "the package's metadata is not there" in server.log
    assert listed["sea_forecast"]["name"] == "Sea forecast"


def finished(server: Running, path: str) -> dict[str, Any]:
    eventually(lambda: server.get(path).json()["status"] not in ("queued", "running"), within_s=60)
    found: dict[str, Any] = server.get(path).json()
    return found


def test_a_training_with_a_file(server: Running) -> None:
    path = MODELS + "leaf_classifier/train/"
    body, kind = multipart({}, {"data": ("leaves.txt", b"leaves", "text/plain")})
    begun = server.request("POST", path + "?epochs=2&new=1", body, {"Content-Type": kind}).json()
    assert {"uuid", "date", "status", "args"} <= begun.keys()
    assert begun["args"] == {"epochs": 2, "data": "leaves.txt"}
    ended = finished(server, path + begun["uuid"])
    assert ended["status"] == "done", ended
    assert ended["result"]["output"] == {"epochs": 2, "data": ["data", "text/plain", "leaves.txt", "leaves"]}
    assert b"training on leaves.txt" in server.get(path + begun["uuid"] + "/log").body
    assert begun["uuid"] in {job["uuid"] for job in server.get(path).json()}


def test_a_training_may_start_children(server: Running) -> None:
    path = MODELS + "tile-segmenter/train/"
    begun = server.request("POST", path + "?rate=0.5").json()
    ended = finished(server, path + begun["uuid"])
    assert ended.get("result", ended)["output"] == {"losses": [2.0, 1.0]}


def test_a_training_that_is_not_implemented_ends_in_error(server: Running) -> None:
    path = MODELS + "sea_forecast/train/"
    begun = server.request("POST", path).json()
    assert finished(server, path + begun["uuid"])["status"] == "error"


def test_a_model_without_train_says_so(server: Running) -> None:
    reply = server.request("POST", MODELS + "audio_tagger/train/")
    assert (reply.status, reply.json()["code"]) == (501, "not_implemented")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/leaf_classifier", 200),
        ("GET", "///v2/models/leaf_classifier/", 308),
        ("GET", "/v2/models", 200),
        ("GET", "/v2", 200),
        ("HEAD", "/v2/models/", 200),
        ("GET", "/v2/models/none/", 404),
        ("POST", "/v2/models/none/predict/", 404),
        ("POST", "/v2/models/none/train/", 404),
        ("PUT", "/v2/models/leaf_classifier/predict/", 405),
        ("DELETE", "/v2/models/leaf_classifier/train/", 405),
        ("POST", "/v2/models/leaf_classifier/", 405),
        ("POST", "/v2/models/leaf_classifier/predict", 200),
        ("POST", "//v2/models/leaf_classifier/predict", 308),
        ("POST", "/v2/models/leaf_classifier/train", 200),
        ("DELETE", "/v2/models/leaf_classifier/train/0123", 404),
        ("GET", "/v2/debug/", 204),
        ("GET", "/ui", 302),
        ("GET", "/api", 200),
    ],
)
def test_requests_that_are_not_quite_right(server: Running, method: str, path: str, status: int) -> None:
    reply = server.request(method, path)
    assert reply.status == status, reply.body
    if status == 405:
        assert reply.headers["Allow"]
    if status >= 400:
        assert {"message", "code", "request_id"} <= reply.json().keys()


def test_options_tells_the_methods(server: Running) -> None:
    reply = server.request("OPTIONS", MODELS + "leaf_classifier/predict/")
    assert (reply.status, "POST" in reply.headers["Allow"]) == (405, True)


def test_a_form_is_built_from_the_document_as_deepaas_clients_do(server: Running) -> None:
    """As the gradio page of DEEPaaS does it: from the first predict path to a call."""
    document = server.get("/swagger.json").json()
    assert document["swagger"] == "2.0"
    path = next(path for path in document["paths"] if path.endswith("leaf_classifier/predict/"))
    post = document["paths"][path]["post"]
    assert post["produces"] == ["application/json", "image/png", "text/plain"]
    by_name = {parameter["name"]: parameter for parameter in post["parameters"]}
    assert list(by_name) == list(post_names(server))
    assert (by_name["data"]["type"], by_name["data"]["in"]) == ("file", "formData")
    assert by_name["top"] == {
        "name": "top", "in": "query", "type": "integer", "required": False, "default": 3, "minimum": 1, "maximum": 10,
        "description": "How many",
    }  # fmt: skip
    assert (by_name["choice"]["enum"], by_name["choice"]["default"]) == (["one", "two"], "one")
    assert by_name["flag"]["type"] == "boolean"
    assert by_name["tags"]["type"] == "array"
    assert by_name["tags"]["items"]["type"] == "string"
    assert by_name["tags"]["collectionFormat"] == "multi"
    assert by_name["url"]["format"] == "uri"
    assert by_name["accept"]["enum"] == ["application/json", "image/png", "text/plain"]
    answer = document["definitions"]["ModelPredictionResponse"]["properties"]
    assert set(answer) in ({"status", "predictions"}, {"tile", "band", "threshold", "shares"})


def post_names(server: Running) -> list[str]:
    reply = server.request("POST", MODELS + "leaf_classifier/predict/")
    return list(json.loads(reply.body)["predictions"]["arguments"])
