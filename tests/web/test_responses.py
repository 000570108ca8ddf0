"""Answers on the wire: bytes at once, files from disk, their names and types."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest

from modelserve.messages import Answer
from modelserve.web.responses import bytes_response, json_response
from tests.running import Reply, Running, eventually, running
from tests.web import telling

PREDICT = "/v2/models/telling/predict/"
BINARY = "application/octet-stream"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([f"{telling.__file__}:Telling"], folder=tmp_path_factory.mktemp("responses")) as server:
        yield server


def ask(server: Running, answer: str, accept: str = BINARY, more: str = "") -> Reply:
    return server.request("POST", f"{PREDICT}?answer={answer}&accept={accept}{more}")


def test_json_is_utf_8_and_of_its_type() -> None:
    response = json_response({"text": "ä"}, status=201)
    assert (response.status, response.body) == (201, '{"text":"ä"}'.encode())
    assert response.content_type == "application/json"


def test_bytes_are_sent_as_they_are(server: Running) -> None:
    reply = ask(server, "bytes")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"\x00raw\xff", BINARY)


def test_a_text_of_another_type_has_its_charset(server: Running) -> None:
    reply = ask(server, "csv", "text/csv", "&x=7")
    assert (reply.status, reply.body) == (200, b"x\r\n7\r\n")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"


def test_a_file_in_memory_that_has_a_name_is_offered_under_it(server: Running) -> None:
    reply = ask(server, "named")
    plain, _, name = reply.headers["Content-Disposition"].partition("; filename*=UTF-8''")
    assert (reply.status, reply.body) == (200, b"named")
    assert (plain, unquote(name)) == ('inline; filename="raport 1.bin"', "räport 1.bin")


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("plain.csv", "plain.csv"),
        ("with space.csv", "with space.csv"),
        ('sa"y.csv', "sa_y.csv"),
        ("a;b;c.csv", "a_b_c.csv"),
        ("100%41.csv", "100_41.csv"),
        ("结果😀.csv", "___.csv"),
        ("a\r\nX-Evil: 1.csv", "aX-Evil_ 1.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\cat.csv", "cat.csv"),
        ("x" * 300 + ".nii.gz", "x" * 193 + ".nii.gz"),
    ],
)
def test_curl_saves_an_answer_under_its_name(name: str, saved: str, server: Running, tmp_path: Path) -> None:
    """U2: curl reads the ASCII name only."""
    given = urlencode({"answer": "named", "accept": BINARY, "names": name})
    url = f"http://127.0.0.1:{server.port}{PREDICT.rstrip('/')}?{given}"
    subprocess.run(["curl", "-fsSOJ", "-X", "POST", url], cwd=tmp_path, check=True, timeout=30)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {saved: b"named"}


def test_a_file_on_disk_is_sent_whole_with_its_length_and_name_and_removed(server: Running) -> None:
    reply = ask(server, "output_file")
    assert (reply.status, reply.body) == (200, b"0123456789" * 100_000)
    assert reply.headers["Content-Length"] == "1000000"
    assert "out.bin" in reply.headers["Content-Disposition"]
    eventually(lambda: not list(server.temp.rglob("outfile-*")))


def test_a_page_with_script_is_only_offered_as_a_download_without_rights(server: Running) -> None:
    reply = ask(server, "html", "text/html")
    assert reply.status == 200
    assert reply.headers["Content-Disposition"] == "attachment"
    assert reply.headers["Content-Security-Policy"] == "sandbox"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "Text/HTML", "image/svg+xml", "text/xml ; a=b"])
def test_a_type_that_runs_script_is_known_however_it_is_written(content_type: str) -> None:
    response = bytes_response(Answer(1, content_type, b"<script>", filename="a.html"))
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.headers["Content-Security-Policy"] == "sandbox"


def test_a_file_name_cannot_split_a_header() -> None:
    response = bytes_response(Answer(1, BINARY, b"", filename='a"\r\nX-Injected: 1;é'))
    names = "filename=\"a___X-Injected_ 1_e\"; filename*=UTF-8''a%22__X-Injected%3A%201%3B%C3%A9"
    assert response.headers["Content-Disposition"] == f"inline; {names}"


def test_a_client_that_leaves_while_a_file_is_sent_leaves_no_file_and_no_descriptor(server: Running) -> None:
    ask(server, "bytes")
    before = server.descriptors()
    for _ in range(12):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            head = f"POST {PREDICT}?answer=output_file&accept={BINARY}&x=20 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    eventually(lambda: not list(server.temp.rglob("outfile-*")))
    eventually(lambda: server.descriptors() < before + 6)
    assert json.loads(server.get("/healthz").body) == {"status": "alive"}


ACTIVE = (
    "text/html",
    "text/xsl",
    "text/xml",
    "text/javascript",
    "text/ecmascript",
    "text/css",
    "text/cache-manifest",
    "text/calendar",
    "application/javascript",
    "application/x-javascript",
    "application/xhtml+xml",
    "application/rss+xml",
    "application/wasm",
    "application/pdf",
    "application/x-shockwave-flash",
    "application/manifest+json",
    "image/svg+xml",
    "IMAGE/SVG+XML ; charset=utf-8",
    "image/svg",
    "message/rfc822",
    "multipart/x-mixed-replace; boundary=b",
    "multipart/related",
    "image/png; a=, text/html",
    "unknown/unknown",
    "*/*",
)


@pytest.mark.parametrize("kind", ACTIVE)
def test_only_what_a_browser_cannot_run_is_shown_by_it(kind: str) -> None:
    """X18, Y17."""
    for filename in ("", "answer"):
        headers = bytes_response(Answer(1, kind, b"", filename=filename)).headers
        assert headers["Content-Security-Policy"] == "sandbox"
        assert headers["Content-Disposition"].startswith("attachment")
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "kind", ["image/png", "Image/JPEG", "audio/wav", "video/mp4", "text/plain; charset=utf-8", "text/csv"]
)
def test_pictures_sounds_films_and_plain_text_are_shown(kind: str) -> None:
    headers = bytes_response(Answer(1, kind, b"", filename="answer")).headers
    assert headers["Content-Disposition"].startswith("inline")
    assert "Content-Security-Policy" not in headers


def test_a_name_that_is_no_text_is_offered_with_what_stands_for_it() -> None:
    headers = bytes_response(Answer(1, "image/png", b"", filename="cat\udcff.png")).headers
    assert unquote(headers["Content-Disposition"]).endswith("cat\ufffd.png")
