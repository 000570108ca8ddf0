"""The request id: taken over where it is well-formed, made where it is not, and on every answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.running import Reply, Running, eventually, running
from tests.web import telling

PREDICT = "/v2/models/telling/predict/"
PATHS = (
    "/",
    "/v2/",
    "/v2/models/",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/api",
    "/assets/icon.svg",
    "/ui",
    "/nothing",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    arguments = [f"{telling.__file__}:Telling", "--max-body-bytes", "1000"]
    with running(arguments, folder=tmp_path_factory.mktemp("requests")) as server:
        yield server


def predict(server: Running, query: str = "", **headers: str) -> Reply:
    return server.request("POST", PREDICT + query, headers=headers)


@pytest.mark.parametrize("said", ["a", "0", "job-7.part_2", "x" * 64])
def test_a_well_formed_id_comes_back(server: Running, said: str) -> None:
    """N06."""
    assert server.get("/v2/", **{"X-Request-ID": said}).headers["X-Request-ID"] == said


@pytest.mark.parametrize(
    "said", ["", "two words", "x" * 65, "x" * 7000, "a/b", "<script>", "naïve", "a\tb", "a,b", '"a"']
)
def test_an_id_that_is_not_well_formed_is_replaced_and_never_shown(server: Running, said: str) -> None:
    """N06."""
    reply = server.get("/nothing", **{"X-Request-ID": said})
    made = reply.headers["X-Request-ID"]
    assert made != said
    assert reply.json()["request_id"] == made
    assert not said or said.encode() not in reply.body


def test_an_id_is_made_where_none_was_said_and_no_two_are_equal(server: Running) -> None:
    made = {server.get("/v2/").headers["X-Request-ID"] for _ in range(20)}
    assert len(made) == 20
    assert all(0 < len(request_id) <= 64 for request_id in made)


@pytest.mark.parametrize("path", PATHS)
def test_it_is_on_every_page(server: Running, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        reply = server.request(method, path, headers={"X-Request-ID": "mine-1"})
        assert reply.headers["X-Request-ID"] == "mine-1", method


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?answer=output_file&accept=application/octet-stream", 200),
        ("?answer=bytes&accept=application/octet-stream", 200),
        ("?x=no", 422),
        ("?answer=refuse", 409),
        ("?answer=bytes", 500),
        ("?accept=text/nothing", 422),
    ],
)
def test_it_is_on_every_answer_of_a_model(server: Running, query: str, status: int) -> None:
    reply = predict(server, query, **{"X-Request-ID": "mine-2"})
    assert (reply.status, reply.headers["X-Request-ID"]) == (status, "mine-2")


def test_it_is_on_a_refusal_of_a_body_that_waits_for_leave(server: Running) -> None:
    head = {"Content-Type": "application/json", "Content-Length": "5000", "Expect": "100-continue"}
    for said, shown in (("mine-3", "mine-3"), ("not mine", None)):
        reply = server.request("POST", PREDICT, headers=head | {"X-Request-ID": said})
        made = reply.headers["X-Request-ID"]
        assert (reply.status, reply.json()["request_id"]) == (413, made)
        assert made == shown if shown else made and made != said


def test_it_is_in_the_log_line_of_a_failure(server: Running) -> None:
    predict(server, "?answer=bytes", **{"X-Request-ID": "find-me-in-the-log"})
    eventually(lambda: "find-me-in-the-log" in server.log)


@pytest.mark.parametrize(
    "head",
    [
        b"X-Request-ID: a\nInjected: 1",
        b"X-Request-ID: a\rInjected: 1",
        b"X-Request-ID: " + b"x" * 10_000,
        b"X-Request-ID: a\x00b",
    ],
    ids=["a line feed", "a carriage return", "10 kB", "a null"],
)
def test_a_head_that_is_no_http_or_too_long_adds_no_header(server: Running, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    status = received.split(b" ", 2)[1]
    assert status in (b"400", b"200")
    if status == b"200":  # the parser took a line feed for the end of a line, as RFC 9112 allows
        assert json.loads(received.partition(b"\r\n\r\n")[2])["id"] == "v2"
    assert b"\r\nInjected" not in received
