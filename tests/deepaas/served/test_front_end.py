"""DEEPaaS's own web client, by its requests: files, lists, JSON, archives and pictures."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.deepaas.front_end import FrontEnd
from tests.running import Running, running

JSON = "application/json"
# The client cannot read its own text of a default that is a list of texts.
UNREADABLE = {"colours": ""}


@pytest.fixture(scope="module")
def form(pictures: Running) -> FrontEnd:
    return FrontEnd(pictures)


def test_the_form_has_an_input_for_each_argument_and_a_tab_for_each_media_type(form: FrontEnd) -> None:
    assert form.tabs == ["image/*", "application/zip", JSON]
    assert form.defaults == {
        "data": None,
        "notes": None,
        "what": "arguments",
        "size": 8,
        "scale": 1.5,
        "flag": True,
        "colours": "['green']",
        "crop": "[1, 2]",
        "kind": "leaf",
        "options": "{}",
        "token": "none",
        "words": "none",
        "level": 4,
    }
    assert form.outputs == []
    assert form.metadata()["author"] == ["A. Botanist", "B. Gardener"]


def test_files_lists_numbers_and_flags_reach_the_model(form: FrontEnd) -> None:
    given = {
        "data": ("leaf.png", b"pixels"),
        "notes": ("notes.txt", b"words"),
        "colours": '"red", "blue"',
        "crop": "3, 4",
        "flag": False,
        "size": 5.0,
        "kind": "root",
        "options": '{"a": [1]}',
        "token": "in the query",
        "words": "in the query",
    }
    reply = form.send(JSON, given)
    assert reply.status == 200, reply.body
    assert reply.json()["predictions"] == {
        "data": ["data", "image/png", "leaf.png", "pixels"],
        "notes": ["notes", "text/plain", "notes.txt", "words"],
        "colours": ["red", "blue"],
        "crop": [3, 4],
        "flag": False,
        "size": 5,
        "scale": 1.5,
        "kind": "root",
        "options": {"a": [1]},
        "token": "none",
        "words": "none",
        "depth": 3,
        "level": 4,
        "accept": JSON,
    }


@pytest.mark.parametrize("given", [{}, {"data": ("leaf.png", b"\x89PNG\r\n\x1a\n leaf")}])
def test_a_picture(form: FrontEnd, given: dict[str, Any]) -> None:
    reply = form.send("image/*", {"what": "image", **UNREADABLE, **given})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    assert reply.body.startswith(b"\x89PNG\r\n\x1a\n")


def test_an_archive(form: FrontEnd) -> None:
    reply = form.send("application/zip", {"what": "zip", "colours": '"red"', "notes": ("a.bin", b"1")})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/zip")
    packed = json.loads(zipfile.ZipFile(io.BytesIO(reply.body)).read("arguments.json"))
    assert (packed["accept"], packed["colours"], packed["notes"][2]) == ("application/zip", ["red"], "a.bin")


def test_what_is_wrong_is_shown_whole(form: FrontEnd) -> None:
    reply = form.send(JSON, {"size": 65, **UNREADABLE})
    assert reply.invalid() == {"size": ["Must be greater than or equal to 1 and less than or equal to 64."]}


PACKAGES = {
    "sea_forecast": ({"hours": 2, "station": "south"}, {"status", "predictions"}),
    "tile_segmenter": ({"tile": "a.tif", "thresh": 0.25}, {"tile", "band", "threshold", "shares"}),
}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_fields_of_a_json_answer_are_shown(package: str, old_packages: dict[str, Path], tmp_path: Path) -> None:
    given, outputs = PACKAGES[package]
    (tmp_path / "a.tif").write_bytes(b"")
    env = {"TILES": str(tmp_path)}
    with running([], folder=tmp_path, visible=[old_packages[package]], env=env) as server:
        form = FrontEnd(server)
        reply = form.send(JSON, given)
        assert reply.status == 200, reply.body
        assert set(form.outputs) == set(reply.json()) == outputs


def test_each_other_package_has_a_form(server: Running) -> None:
    for name in ("audio_tagger", "sea_forecast", "tile-segmenter"):
        assert FrontEnd(server, name).tabs[0] == JSON
