"""A package whose arguments each have a place of their own, one of them the Accept header (styles D1 to D4)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.running import Reply, Running, eventually, multipart

PREDICT = "/v2/models/plant_pictures/predict/"
TRAIN = "/v2/models/plant_pictures/train/"
JSON = "application/json"
DEFAULTS: dict[str, Any] = {
    "data": None,
    "notes": None,
    "size": 8,
    "scale": 1.5,
    "flag": True,
    "colours": ["green"],
    "crop": [1, 2],
    "kind": "leaf",
    "options": {},
    "token": "none",
    "words": "none",
    "depth": 3,
    "level": 4,
    "accept": JSON,
}


def ask(server: Running, query: dict[str, Any], form: Any = None, path: str = PREDICT, **headers: str) -> Reply:
    body, kind = multipart(*form) if form else (None, "")
    if kind:
        headers["Content-Type"] = kind
    return server.request("POST", f"{path}?{urlencode(query, doseq=True)}", body, headers)


def arguments(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return reply.json()["predictions"]


def test_an_upload_is_a_named_tuple(pictures: Running) -> None:
    """D1; what the package asserts itself is the rest."""
    files = {"data": ("a.png", b"pixels", "image/png"), "notes": ("n.txt", b"words", "text/plain")}
    given = arguments(ask(pictures, {"what": "json"}, ({}, files), Accept=JSON))
    assert given["data"] == ["data", "image/png", "a.png", "pixels"]
    assert given["notes"] == ["notes", "text/plain", "n.txt", "words"]


def test_what_is_given_elsewhere_than_in_its_place_is_left_out(pictures: Running) -> None:
    """D2."""
    assert arguments(ask(pictures, {"accept": "image/*"}, Accept=JSON)) == DEFAULTS
    elsewhere = {"token": "q", "words": "q", "depth": 9, "accept": "text/csv", "data": "a.png"}
    assert arguments(ask(pictures, elsewhere, Accept=JSON)) == DEFAULTS
    in_form = {"token": "f", "depth": "x", "level": "5", "words": "given", "accept": "text/csv"}
    assert arguments(ask(pictures, {}, (in_form, {}), Accept=JSON)) == {**DEFAULTS, "words": "given"}
    body = json.dumps({"token": 1, "words": 2, "level": "x", "depth": 7, "data": 5}).encode()
    headers = {"Content-Type": JSON, "Accept": JSON, "token": "given"}
    reply = pictures.request("POST", f"{PREDICT}?level=6", body, headers)
    assert arguments(reply) == {**DEFAULTS, "token": "given", "depth": 7, "level": 6}


def test_what_is_wrong_in_its_own_place_is_still_told(pictures: Running) -> None:
    assert ask(pictures, {"level": "x"}).json()["level"] == ["Not a valid integer."]
    assert "data" in ask(pictures, {}, ({"data": "a text"}, {})).json()


def test_the_document_names_the_place_that_is_read(pictures: Running) -> None:
    """D2."""
    post = pictures.get("/swagger.json").json()["paths"][PREDICT]["post"]
    places = {each["name"]: each["in"] for each in post["parameters"]}
    assert {name: places.get(name) for name in ("data", "token", "words", "level", "size", "depth")} == {
        "data": "formData",
        "token": "header",
        "words": "formData",
        "level": "query",
        "size": "query",
        "depth": None,  # Swagger 2.0 has no body of JSON beside one of a form
    }
    assert list(places)[-1] == "accept"


def test_without_a_wish_the_answer_is_the_first_choice(pictures: Running) -> None:
    """D3."""
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "video/mp4"}, {"Accept": "text/html,*/*;q=0.8"}):
        reply = ask(pictures, {"what": "image"}, **accept)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
        assert json.loads(ask(pictures, {}, **accept).body)["accept"] == "image/*"
    post = pictures.get("/swagger.json").json()["paths"][PREDICT]["post"]
    assert post["produces"] == ["image/*", "application/zip", JSON]
    accept = post["parameters"][-1]
    assert (accept["in"], accept["default"], accept["enum"]) == ("header", "image/*", post["produces"])


@pytest.mark.parametrize(
    ("accept", "what", "content_type"),
    [
        ("image/png", "image", "image/png"),
        ("image/jpeg", "image", "image/png"),
        ("application/zip", "zip", "application/zip"),
        ("image/*", "returned", "image/svg+xml"),
        (JSON, "json", JSON),
    ],
)
def test_the_header_chooses(pictures: Running, accept: str, what: str, content_type: str) -> None:
    reply = ask(pictures, {"what": what}, Accept=accept)
    assert (reply.status, reply.headers["Content-Type"]) == (200, content_type), reply.body


@pytest.mark.parametrize(
    ("accept", "told"), [("text/csv", "text/csv"), ("*/*", JSON), ("", JSON), ("image/png", JSON), (JSON, JSON)]
)
def test_a_training_is_given_the_accept_header(pictures: Running, accept: str, told: str) -> None:
    """D4."""
    headers = {"Accept": accept, "mode": "given"} if accept else {"mode": "given"}
    begun = ask(pictures, {"accept": "image/png", "mode": "elsewhere"}, path=TRAIN, **headers)
    assert begun.status == 200, begun.body
    assert begun.json()["args"]["accept"] == told
    path = TRAIN + begun.json()["uuid"]
    eventually(lambda: pictures.get(path).json()["status"] == "done", within_s=60)
    output = pictures.get(path).json()["result"]["output"]
    assert (output["accept"], output["mode"]) == (told, "given")
