"""What a client calls its file is only ever text, and what the disk cannot take is refused."""

from __future__ import annotations

import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.names import MAX_FILENAME_BYTES
from modelserve.web.uploads import clean_filename
from tests.running import Reply, Running, eventually, multipart, running
from tests.web import telling


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("..", ""),
        (".", ""),
        ("a/b\\c.png", "c.png"),
        ("with space.png", "with space.png"),
        ("naïve.png", "naïve.png"),
        ("nul\x00esc\x1b.png", "nulesc.png"),
        ("right\u202eto left.png", "rightto left.png"),
        ("x" * 300 + ".nii.gz", "x" * 193 + ".nii.gz"),
        ("结" * 300 + ".png", "结" * 65 + ".png"),
    ],
)
def test_a_filename_keeps_its_base_name_only(said: str, kept: str) -> None:
    assert clean_filename(said) == kept


@given(st.text())
def test_no_filename_can_leave_a_folder_or_split_a_line(said: str) -> None:
    kept = clean_filename(said)
    assert len(kept.encode()) <= MAX_FILENAME_BYTES
    assert not set(kept) & set("/\\\r\n\x00")
    assert kept not in (".", "..")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running([f"{telling.__file__}:Telling"], folder=tmp_path) as server:
        yield server


def upload(server: Running, content: bytes) -> Reply:
    body, kind = multipart({"x": "1"}, {"file": ("a.txt", content, "text/plain")})
    return server.request("POST", "/v2/models/telling/predict/", body, {"Content-Type": kind})


def test_a_file_that_the_disk_cannot_take_is_refused_and_its_part_removed(server: Running) -> None:
    """I01, by a limit of the process's own; a full disk fails in the same place."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    reply = upload(server, b"x" * 2_000_000)
    assert (reply.status, reply.json()["code"]) == (503, "no_space")
    assert int(reply.headers["Retry-After"]) >= 1
    eventually(lambda: not server.uploads())
    assert "File too large" in server.log
    assert server.predict("telling", {"x": 2}).status == 200
    assert upload(server, b"small").status == 200


def test_a_temporary_folder_that_somebody_has_removed_is_made_again(server: Running) -> None:
    """I02."""
    (folder,) = server.temp.glob("modelserve-run-*")
    shutil.rmtree(folder)
    assert server.predict("telling", {"x": 2}).status == 200
    reply = upload(server, b"small")
    assert (reply.status, reply.json()["predictions"]["files"]) == (200, [["a.txt", "small"]])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    eventually(lambda: not server.uploads())


def test_where_it_cannot_be_made_again_uploads_are_refused_and_the_rest_goes_on(server: Running) -> None:
    (folder,) = server.temp.glob("modelserve-run-*")
    shutil.rmtree(folder)
    folder.write_text("in its place")
    reply = upload(server, b"small")
    assert (reply.status, reply.json()["code"]) == (503, "no_space")
    assert server.predict("telling", {"x": 2}).status == 200
