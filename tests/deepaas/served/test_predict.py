"""What the packages are given and what they answer, over HTTP."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.running import Reply, Running, eventually, multipart

LEAF = "/v2/models/leaf_classifier/predict/"
TILE = "/v2/models/tile-segmenter/predict/"

DEFAULTS = {
    "data": None,
    "more": [],
    "raw": None,
    "url": None,
    "demo-str": "some-string",
    "bbox(N,W,S,E)": None,
    "top": 3,
    "choice": "one",
    "tags": ["green", "small"],
    "flag": False,
    "what": "arguments",
    "accept": "application/json",
}


def ask(server: Running, path: str, query: Any = (), form: Any = None, **headers: str) -> Reply:
    """Send arguments as DEEPaaS's clients do: texts in the query, files in a form."""
    body, kind = multipart(*form) if form else (None, "")
    if kind:
        headers["Content-Type"] = kind
    return server.request("POST", f"{path}?{urlencode(query, doseq=True)}", body, headers)


def arguments(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    assert answer["status"] == "OK"
    found: dict[str, Any] = answer["predictions"]["arguments"]
    return found


def test_exactly_the_declared_arguments_come_with_their_defaults(server: Running) -> None:
    reply = ask(server, LEAF)
    assert arguments(reply) == DEFAULTS
    assert reply.json()["predictions"]["warm"] is True, "warm and predict run in one process"
    assert reply.json()["predictions"]["cwd"] == str(server.folder)


def test_names_that_are_no_identifiers_and_lists_by_repetition(server: Running) -> None:
    query = {"demo-str": "x y", "bbox(N,W,S,E)": [1.5, 2, 3, 4], "tags": ["a", "b"], "top": 10, "flag": "true"}
    given = arguments(ask(server, LEAF, query))
    assert given == {**DEFAULTS, **query, "flag": True}


def test_query_beats_form_beats_json_and_unknown_arguments_are_dropped(server: Running) -> None:
    given = arguments(
        ask(server, LEAF, {"demo-str": "query", "new": 1}, ({"demo-str": "form", "url": "http://a.org"}, {}))
    )
    assert (given["demo-str"], given["url"], "new" in given) == ("query", "http://a.org", False)
    body = json.dumps({"demo-str": "json", "top": 5, "new": 1}).encode()
    reply = server.request("POST", LEAF + "?demo-str=query", body, {"Content-Type": "application/json"})
    assert (arguments(reply)["demo-str"], arguments(reply)["top"]) == ("query", 5)


def test_an_enum_is_shown_and_not_checked_as_in_deepaas(server: Running) -> None:
    assert arguments(ask(server, LEAF, {"choice": "three"}))["choice"] == "three"


def test_files_in_each_declaration_and_several_in_one_argument(server: Running) -> None:
    boundary = "b"
    parts = [
        ("data", "a.png", "image/png"),
        ("raw", "r.txt", "text/plain"),
        ("more", "1.txt", "x/y"),
        ("more", "2.txt", "x/y"),
    ]
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        f"Content-Type: {kind}\r\n\r\n{file}\r\n".encode()
        for name, file, kind in parts
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    given = arguments(server.request("POST", LEAF, body + f"--{boundary}--\r\n".encode(), headers))
    assert given["data"] == ["data", "image/png", "a.png", "a.png"]
    assert given["raw"] == ["raw", "text/plain", "r.txt", "r.txt"]
    assert given["more"] == [["more", "x/y", "1.txt", "1.txt"], ["more", "x/y", "2.txt", "2.txt"]]
    eventually(lambda: not server.uploads())


@pytest.mark.parametrize(
    ("query", "name"),
    [({"top": 11}, "top"), ({"top": "x"}, "top"), ({"url": "no url"}, "url"), ({"accept": "text/html"}, "accept")],
)
def test_a_bad_argument_is_named(server: Running, query: dict[str, Any], name: str) -> None:
    reply = ask(server, LEAF, query)
    assert list(reply.invalid()) == [name]
    assert next(iter(reply.json())) == name


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ({}, "", "application/json"),
        ({}, "*/*", "application/json"),
        ({}, "text/html,application/xhtml+xml", "application/json"),
        ({}, "image/png", "image/png"),
        ({}, "image/*;q=0.5, text/plain", "text/plain"),
        ({"accept": "*/*"}, "", "application/json"),
        ({"accept": "*/*"}, "image/png", "image/png"),
        ({"accept": "text/plain"}, "image/png", "text/plain"),
    ],
)
def test_accept_comes_from_query_form_or_header(
    server: Running, query: dict[str, str], accept: str, expected: str
) -> None:
    headers = {"Accept": accept} if accept else {}
    what = "kept" if expected == "image/png" else "str"  # no text is sent as a picture
    for given in (
        ask(server, LEAF, {**query, "what": what}, **headers),
        ask(server, LEAF, {"what": what}, (query, {}), **headers),
    ):
        assert given.status == 200, given.body
        assert given.headers["Content-Type"].partition(";")[0] == expected


@pytest.mark.parametrize(
    ("what", "answer"),
    [("list", [1, "two", None]), ("str", "a text"), ("none", None), ("conf", {"model": "leaf_classifier"})],
)
def test_values_are_in_the_envelope(server: Running, what: str, answer: Any) -> None:
    assert ask(server, LEAF, {"what": what}).json() == {"status": "OK", "predictions": answer}


@pytest.mark.parametrize(
    ("what", "name"),
    [("bytes", ""), ("bytesio", "digits.bin"), ("handle", ".png"), ("upload", ""), ("open upload", "")],
)
def test_bytes_and_files_are_sent_from_their_first_byte(server: Running, what: str, name: str) -> None:
    files = {"data": ("leaf.png", b"0123456789", "image/png")}
    reply = ask(server, LEAF, {"what": what, "accept": "image/png"}, ({}, files))
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"0123456789", "image/png")
    assert name in reply.headers.get("Content-Disposition", "")
    eventually(lambda: not server.uploads())


@pytest.mark.parametrize("what", ["kept", "returned"])
def test_a_file_of_the_package_is_sent_whole_and_stays(server: Running, what: str) -> None:
    for _ in range(2):
        reply = ask(server, LEAF, {"what": what, "accept": "text/plain"})
        assert reply.status == 200
        assert reply.body.startswith(b'"""The functions')
    assert what == "returned" or "api.py" in reply.headers["Content-Disposition"]


def test_a_model_may_delete_its_upload(server: Running) -> None:
    reply = ask(server, LEAF, {"what": "delete"}, ({}, {"data": ("leaf.png", b"x", "image/png")}))
    assert reply.json()["predictions"] == {"deleted": True}
    eventually(lambda: not server.uploads())


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("value", 400, "no leaf\nin this image"),
        ("not found", 404, "no such leaf"),
        ("exception", 500, "'leaf'"),
        ("text", 400, "a whole text"),
    ],
)
def test_http_exceptions_reach_the_client(server: Running, what: str, status: int, words: str) -> None:
    reply = ask(server, LEAF, {"what": what})
    assert (reply.status, reply.json()["message"]) == (status, words)


def test_schema_fields_with_their_keys_and_classes_of_the_packages_own(server: Running, tiles: Path) -> None:
    missing = ask(server, TILE, {"tile": "a.tif"})
    assert missing.invalid() == {"tile": ["'a.tif' is none of []."]}
    (tiles / "a.tif").write_bytes(b"")
    reply = ask(server, TILE, {"tile": "a.tif", "thresh": 0.25, "band": "blue", "other": 1})
    assert reply.status == 200, reply.body
    assert reply.json() == {
        "tile": os.fspath(tiles / "a.tif"),
        "band": "BLUE",
        "threshold": 0.25,
        "shares": [{"label": "water", "share": 0.25}, {"label": "land", "share": 0.75}],
    }
    assert ask(server, TILE, {"tile": "a.tif", "thresh": 2}).status == 422
    tiff = ask(server, TILE, {"tile": "a.tif"}, Accept="image/tiff")
    assert (tiff.headers["Content-Type"], tiff.body) == ("image/tiff", os.fsencode(tiles / "a.tif"))
    (tiles / "a.tif").unlink()
    assert ask(server, TILE, {"tile": "a.tif"}).status == 422


def test_a_class_and_its_schema(server: Running) -> None:
    path = "/v2/models/sea_forecast/predict/"
    reply = ask(server, path, {"hours": 2, "station": "south"})
    expected = [{"hour": 0, "height": 0.5}, {"hour": 1, "height": 1.0}]
    assert reply.json() == {"status": "south", "predictions": expected}
    assert ask(server, path).invalid() == {"hours": ["Missing data for required field."]}
    wrong = ask(server, path, {"hours": 2, "wrong": "true"})
    assert (wrong.status, wrong.json()["code"]) == (500, "bad_answer")


def test_an_object(server: Running) -> None:
    assert ask(server, "/v2/models/audio_tagger/predict/", {"sound": "wind"}).json()["predictions"] == {
        "tag": "like wind"
    }
