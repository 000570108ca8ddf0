"""A model that offers ranges of media types, ``image/*``: what asks for them, and which type the answer has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.cli.program import modelserve
from tests.running import Reply, Running, eventually, multipart, running

MODEL = """
from pathlib import Path
from marshmallow import validate
from modelserve.v2 import OutputFile, fields

CHOICES = ["application/json", "image/*", "image/tiff", "text/*", "audio/*"]
PNG, WAV = b"\\x89PNG\\r\\n\\x1a\\n", b"RIFF\\x24\\0\\0\\0WAVEfmt "

def get_predict_args():
    return {
        "what": fields.Str(load_default="png"),
        "accept": fields.Str(validate=validate.OneOf(CHOICES)),
    }

def predict(what, accept):
    Path("named.webp").write_bytes(b"no signature")
    if accept == "application/json":
        return {"told": accept}
    return {
        "png": PNG,
        "jpeg": bytearray(b"\\xff\\xd8\\xff\\xe0"),
        "pixels": b"pixels",
        "svg": "<?xml version='1.0'?><!-- a --><svg xmlns='http://www.w3.org/2000/svg'/>",
        "words": "some words",
        "wav": WAV,
        "name": Path("named.webp"),
        "said": OutputFile("named.webp", "image/x-own"),
        "wrong": OutputFile("named.webp", "audio/x-own"),
        "told": accept.encode(),
        "dict": {"a": 1},
    }[what]
"""
PATH = "/v2/models/ranges/predict/"
PNG = "image/png"
OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("ranges")
    (folder / "ranges.py").write_text(MODEL)
    with running(["ranges.py"], folder=folder) as started:
        yield started


def ask(server: Running, accept: str = "", **query: str) -> Reply:
    return server.request("POST", f"{PATH}?{urlencode(query)}", headers={"Accept": accept} if accept else {})


def kind(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return reply.headers["Content-Type"]


@pytest.mark.parametrize(
    ("accept", "what", "content_type"),
    [
        ("image/png", "png", PNG),
        ("image/*", "png", PNG),
        ("image/*;q=0.9, application/json;q=0.1", "png", PNG),
        ("image/avif,image/webp,*/*;q=0.1", "png", PNG),
        ("image/png", "jpeg", "image/jpeg"),
        ("image/png", "pixels", PNG),
        ("image/*", "pixels", OCTETS),
        ("image/*", "svg", "image/svg+xml"),
        ("image/*", "name", "image/webp"),
        ("image/*", "said", "image/x-own"),
        ("image/*", "wrong", "image/webp"),
        ("image/tiff", "pixels", "image/tiff"),
        ("text/*", "words", "text/plain; charset=utf-8"),
        ("text/csv", "words", "text/csv; charset=utf-8"),
        ("audio/*", "wav", "audio/wav"),
        ("audio/*", "png", OCTETS),
        ("*/*", "png", "application/json"),
        ("", "png", "application/json"),
    ],
)
def test_the_header_meets_the_range(server: Running, accept: str, what: str, content_type: str) -> None:
    reply = ask(server, accept, what=what)
    assert kind(reply) == content_type


@pytest.mark.parametrize(
    ("accept", "told"), [("image/png", "image/*"), ("image/tiff", "image/tiff"), ("text/csv", "text/*")]
)
def test_the_model_is_told_its_own_choice(server: Running, accept: str, told: str) -> None:
    assert ask(server, accept, what="told").body == told.encode()


def test_the_argument_chooses_the_range_wherever_it_is_given(server: Running) -> None:
    assert kind(ask(server, accept="image/*", what="png")) == PNG
    for given in ({"accept": "image/*"}, {"accept": "*/*"}):
        headers = {"Accept": PNG}
        body, headers["Content-Type"] = multipart(given, {})
        assert kind(server.request("POST", PATH, body, headers)) == PNG
        headers["Content-Type"] = "application/json"
        assert kind(server.request("POST", PATH, json.dumps(given).encode(), headers)) == PNG


def test_what_no_choice_covers_is_refused(server: Running) -> None:
    assert ask(server, "video/mp4").status == 406
    assert server.request("POST", f"{PATH}?accept=video/mp4").status == 422
    wrong = ask(server, "image/png", what="dict")
    assert (wrong.status, wrong.json()["code"]) == (500, "bad_answer")


def test_a_background_prediction_has_the_type_of_its_content(server: Running) -> None:
    headers = {"Accept": "image/*", "Prefer": "respond-async"}
    begun = server.request("POST", f"{PATH}?what=jpeg", headers=headers)
    assert begun.status == 202, begun.body
    path = begun.headers["Location"]
    eventually(lambda: server.get(path).json()["status"] == "done")
    assert kind(server.get(f"{path}/result")) == "image/jpeg"


def test_both_documents_list_the_ranges(server: Running) -> None:
    choices = ["application/json", "image/*", "image/tiff", "text/*", "audio/*"]
    new: dict[str, Any] = server.get("/openapi.json").json()["paths"][PATH]["post"]
    assert list(new["responses"]["200"]["content"]) == choices
    old = server.get("/swagger.json").json()["paths"][PATH]["post"]
    assert old["produces"] == choices
    accept = next(each for each in old["parameters"] if each["name"] == "accept")
    assert (accept["default"], accept["required"], accept["enum"]) == ("application/json", False, choices)


@pytest.mark.parametrize("accept", ["image/*", "image/png", "image/png, */*;q=0.1"])
def test_the_command_line_writes_the_picture(accept: str, tmp_path: Path) -> None:
    (tmp_path / "ranges.py").write_text(MODEL)
    done = modelserve("predict", "ranges.py", "--accept", accept, "--output", "o.png", folder=tmp_path)
    assert done.status == 0, done.err
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_line_refuses_what_the_model_does_not_offer(tmp_path: Path) -> None:
    (tmp_path / "ranges.py").write_text(MODEL)
    done = modelserve("predict", "ranges.py", "--accept", "video/*", "--output", "o.mp4", folder=tmp_path)
    assert done.status == 1
    assert "this model answers with application/json, image/*" in done.err
    assert not (tmp_path / "o.mp4").exists()


def test_a_batch_keeps_each_picture_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "ranges.py").write_text(MODEL)
    (tmp_path / "rows.jsonl").write_text('{"what": "png"}\n{"what": "jpeg"}\n')
    run = ["batch", "ranges.py", "--input", "rows.jsonl", "--accept", "image/*", "--output"]
    done = modelserve(*run, "answers/", folder=tmp_path)
    assert done.status == 0, done.err
    assert {path.suffix for path in (tmp_path / "answers").iterdir()} >= {".png", ".jpg"}
