"""Request bodies that are broken, too large or hostile: the model is never called. Rows D of the list of faults."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Chaos
from tests.faults.raw import read_all
from tests.running import Reply, eventually, multipart, running

PATH = "/v2/models/chaos/predict/"
MIB = 1024 * 1024
PART = b'--b\r\nContent-Disposition: form-data; name="mode"\r\n'


@pytest.fixture(scope="module")
def chaos(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """One server for all of these, with small limits."""
    folder = tmp_path_factory.mktemp("bodies")
    limits = ["--max-body-bytes", "2MiB", "--max-upload-bytes", "8MiB"]
    env = {"CHAOS_LOG": str(folder / "side.log")}
    with running(["chaos", *limits], visible=[packages["chaos"]], folder=folder, env=env) as server:
        yield Chaos(server, folder / "side.log")


@pytest.fixture(autouse=True)
def the_model_is_not_called(chaos: Chaos, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test sends, nothing of it may reach the model or stay on the disk; two tests say otherwise."""
    before = chaos.events("predict")
    yield
    if "called" not in request.keywords:
        assert chaos.events("predict") == before
    eventually(lambda: not chaos.server.uploads())


def post(chaos: Chaos, body: bytes, kind: str = "application/json") -> Reply:
    return chaos.server.request("POST", PATH, body, {"Content-Type": kind})


def assert_refused(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.json()["code"]) == (status, code), reply.body


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"mode": "ok"',
        b'{"mode": ok}',
        b"{} {}",
        b'{"text": "\xff"}',
        '{"mode": "ok"}'.encode("utf-16"),
        b'\xef\xbb\xbf\xef\xbb\xbf{"mode": "ok"}',
        b'{"mode": "ok", "mode": "raise"}',
        b'{"data": {"a": 1, "a": 2}}',
        b'{"data": ' + b"[" * 100_000,
        b'{"data": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"data": ' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}",
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"n": NaN}',
        b'{"n": Infinity}',
        b'{"n": 1e999}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_broken_json_is_a_400(chaos: Chaos, body: bytes) -> None:
    """D01 to D06."""
    since = time.monotonic()
    assert_refused(post(chaos, body), 400, "bad_request")
    assert time.monotonic() - since < 3


@pytest.mark.parametrize("body", [b"[1, 2]", b'"text"', b"null", b"7"])
def test_json_that_is_no_object_is_a_422(chaos: Chaos, body: bytes) -> None:
    """D07."""
    assert post(chaos, body).status == 422


@pytest.mark.parametrize(
    "kind", ["application/xml", "application/octet-stream", "text/plain", "application/json; charset=nope"]
)
def test_a_body_of_another_type_is_a_415(chaos: Chaos, kind: str) -> None:
    """D08, D09, D10."""
    assert_refused(post(chaos, b'{"mode": "ok"}', kind), 415, "unsupported_media")


def test_a_body_without_a_type_is_a_415(chaos: Chaos) -> None:
    """D08."""
    assert_refused(chaos.server.request("POST", PATH, b'{"mode": "ok"}'), 415, "unsupported_media")


def test_a_compressed_body_is_a_415(chaos: Chaos) -> None:
    """D21, D23."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert_refused(chaos.server.request("POST", PATH, b"x", headers), 415, "unsupported_media")


def test_what_a_compressed_body_holds_is_never_looked_at(chaos: Chaos) -> None:
    """D22: fifty thousand empty members."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    body = gzip.compress(b"") * 50_000
    server = psutil.Process(chaos.server.process.pid)
    before = server.cpu_times().user
    assert_refused(chaos.server.request("POST", PATH, body, headers), 415, "unsupported_media")
    assert server.cpu_times().user - before < 0.3


@pytest.mark.parametrize("query", ["&".join(["mode=ok"] * 1001), "n=" + "9" * 7000, "text=" + "x" * 9000])
def test_a_query_that_is_too_long_or_has_too_many_parameters_is_a_400(chaos: Chaos, query: str) -> None:
    """D25."""
    assert chaos.server.request("POST", f"{PATH}?{query}").status in (400, 422)


def test_a_parameter_given_twice_that_is_no_list_is_a_422(chaos: Chaos) -> None:
    """D25."""
    reply = chaos.server.request("POST", f"{PATH}?mode=ok&mode=raise")
    assert list(reply.invalid()) == ["mode"]


def test_an_unknown_argument_is_named(chaos: Chaos) -> None:
    """D11."""
    reply = chaos.server.request("POST", PATH + "?nosuch=1")
    assert reply.status == 422
    assert "nosuch" in reply.json()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="mode"\r\n\r\nok', "multipart/form-data; boundary=b"),
        (
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--c--\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
        ),
        (b"--b" + b"-" * MIB, "multipart/form-data; boundary=b"),
        (b"\r\n" * (MIB // 2), "multipart/form-data; boundary=b"),
        (b"x", f"multipart/form-data; boundary={'b' * 7000}"),
        (b"x", f"multipart/form-data; boundary={'b' * 10_000}"),
        (PART + b"Content-Transfer-Encoding: nope\r\n\r\nok\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (PART + b"Content-Encoding: gzip\r\n\r\nok\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (PART + b"X: " + b"x" * MIB + b"\r\n\r\nok\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (PART + b"X: x\r\n" * 10_000 + b"\r\nok\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (PART + b"no header\r\n\r\nok\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    ],
    ids=lambda value: repr(value[-24:]),
)
def test_a_broken_form_is_a_400_at_once(chaos: Chaos, body: bytes, kind: str) -> None:
    """D12, D13, D15."""
    server = psutil.Process(chaos.server.process.pid)
    before = server.cpu_times().user
    assert_refused(post(chaos, body, kind), 400, "bad_request")
    assert server.cpu_times().user - before < 0.3


@pytest.mark.called
@pytest.mark.parametrize("length", ["1", "99999999999", "-1", "x"])
def test_the_length_that_a_part_of_a_form_says_it_has_is_not_believed(chaos: Chaos, length: str) -> None:
    """D13: https://www.rfc-editor.org/rfc/rfc7578#section-4.8."""
    body = PART + f"Content-Length: {length}\r\n\r\nok\r\n--b--\r\n".encode()
    assert post(chaos, body, "multipart/form-data; boundary=b").status == 200


@pytest.mark.parametrize(("count", "kind"), [(20_000, ""), (1_001, '; filename="a"')], ids=["texts", "files"])
def test_a_form_of_more_parts_than_any_form_has_is_a_413_and_no_file_stays_open(
    chaos: Chaos, count: int, kind: str
) -> None:
    """D14."""
    descriptors = chaos.server.descriptors()
    part = f'--b\r\nContent-Disposition: form-data; name="file"{kind}\r\n\r\nx\r\n'.encode()
    assert_refused(post(chaos, part * count + b"--b--\r\n", "multipart/form-data; boundary=b"), 413, "too_large")
    eventually(lambda: chaos.server.descriptors() <= descriptors + 3)


@pytest.mark.called
@pytest.mark.parametrize(
    ("filename", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\x\\cat.png", "cat.png"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("x" * 5000 + ".png", "x" * 196 + ".png"),
        ("<script>alert(1)</script>.png", "script>.png"),
        ("..", ""),
    ],
)
def test_an_upload_is_stored_under_a_random_name_in_a_private_folder(chaos: Chaos, filename: str, cleaned: str) -> None:
    """D16."""
    body, kind = multipart({"mode": "file"}, {"file": (filename, b"content", "image/png")})
    seen = post(chaos, body, kind).json()["predictions"]
    assert seen["original_filename"] == cleaned
    assert (seen["mode"], seen["folder_mode"], seen["size"]) == ("0o600", "0o700", 7)
    assert Path(seen["path"]).is_relative_to(chaos.server.temp)
    assert filename not in seen["path"]
    eventually(lambda: not Path(seen["path"]).exists())


def test_a_text_where_a_file_belongs_is_a_422(chaos: Chaos) -> None:
    """D17: a model never gets a path that a client made up."""
    for body, kind in [
        multipart({"mode": "file", "file": "/etc/passwd"}, {}),
        (b'{"file": "/etc/passwd"}', "application/json"),
    ]:
        reply = post(chaos, body, kind)
        assert reply.status == 422
        assert "file" in reply.json()


def test_a_file_where_a_text_belongs_is_a_422(chaos: Chaos) -> None:
    """D17."""
    body, kind = multipart({}, {"mode": ("ok.txt", b"ok", "text/plain")})
    reply = post(chaos, body, kind)
    assert reply.status == 422
    assert "mode" in reply.json()


@pytest.mark.called
def test_an_empty_file_is_a_file(chaos: Chaos) -> None:
    """D18."""
    body, kind = multipart({"mode": "file"}, {"file": ("empty.bin", b"", "application/octet-stream")})
    assert post(chaos, body, kind).json()["predictions"]["size"] == 0


def raw(chaos: Chaos, head: str, body: bytes = b"") -> tuple[bytes, float, bool]:
    """Send bytes as they are; return (what came back, after how long, whether the connection was closed)."""
    since = time.monotonic()
    with socket.create_connection(("127.0.0.1", chaos.server.port), timeout=5) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode() + body)
        received, closed = b"", False
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
        answered_s = time.monotonic() - since
        connection.settimeout(3)
        closed = connection.recv(1) == b""
        return received, answered_s, closed


@pytest.mark.parametrize("expect", ["", "\r\nExpect: 100-continue"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_a_body_announced_as_too_large_is_refused_before_it_is_read(chaos: Chaos, expect: str, kind: str) -> None:
    """D19."""
    head = f"Content-Type: {kind}\r\nContent-Length: 99000000000{expect}"
    received, answered_s, closed = raw(chaos, head, b"{{{" if not expect else b"")
    assert received.startswith(b"HTTP/1.1 413"), received
    assert b'"too_large"' in received
    assert b"100 Continue" not in received
    assert answered_s < 0.5
    assert closed


@pytest.mark.called
def test_a_body_that_waits_for_leave_gets_it(chaos: Chaos) -> None:
    """D19."""
    body = json.dumps({"mode": "ok"}).encode()
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close"
    received, _, _ = raw(chaos, head, body)
    assert received.startswith(b"HTTP/1.1 100 Continue")
    assert b"HTTP/1.1 200 OK" in received


@pytest.mark.called
@pytest.mark.parametrize(("version", "expected"), [("1.0", "100-continue"), ("1.1", "something else")])
def test_a_client_that_does_not_wait_for_leave_gets_none(chaos: Chaos, version: str, expected: str) -> None:
    """D19: the other way. To one of HTTP/1.0 it would be the answer."""
    body = json.dumps({"mode": "ok"}).encode()
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: {expected}\r\nConnection: close"
    with socket.create_connection(("127.0.0.1", chaos.server.port), timeout=10) as connection:
        connection.sendall(f"POST {PATH} HTTP/{version}\r\nHost: localhost\r\n{head}\r\n\r\n".encode() + body)
        assert read_all(connection).split(b" ", 2)[1] == b"200"


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_a_chunked_body_is_refused_at_the_limit_and_memory_stays_flat(chaos: Chaos, kind: str) -> None:
    """D20."""
    process = psutil.Process(chaos.server.process.pid)
    before = process.memory_info().rss
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", chaos.server.port), timeout=10) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"%x\r\n%b\r\n" % (len(part), part))
        chunk = b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)
        try:
            for _ in range(64):
                connection.sendall(chunk)
        except ConnectionError:
            pass
        received = connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 413"), received[:200]
    assert re.search(rb'"The body is larger than the \d+ bytes that are accepted."', received)
    assert process.memory_info().rss - before < 24 * MIB


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_a_body_in_very_many_chunks_costs_little(chaos: Chaos, kind: str) -> None:
    """D24."""
    server = psutil.Process(chaos.server.process.pid)
    before = server.cpu_times().user
    head = f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close"
    received, _, closed = raw(chaos, head, b"1\r\n[\r\n" * 70_000 + b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400"), received
    assert closed
    assert server.cpu_times().user - before < 1.5


@pytest.mark.parametrize("trailers", [b"X: x\r\n" * 200_000, b"X: " + b"x" * MIB + b"\r\n"], ids=["many", "long"])
def test_trailers_have_a_limit(chaos: Chaos, trailers: bytes) -> None:
    """D26."""
    with socket.create_connection(("127.0.0.1", chaos.server.port), timeout=10) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with contextlib.suppress(ConnectionError):
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"1\r\n{\r\n0\r\n" + trailers)
        assert b" 400 Bad Request\r\n" in connection.recv(65536)
