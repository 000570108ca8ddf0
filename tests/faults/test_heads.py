"""Heads of requests that are too large, or never whole: what one may have, and what all of them may take."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator

import pytest

from modelserve.web.heads import MAX_HEAD_BYTES
from tests.faults.raw import read_all, read_until
from tests.faults.test_rooms import LIMIT, MIB, SETTINGS, Watch, send, statuses
from tests.faults.told import counted
from tests.running import Running, eventually, running
from tests.web import telling

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = GET + b"\r\n"
POST = b"POST /v2/models/telling/predict/ HTTP/1.1\r\nHost: localhost\r\n"
JSON = b'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{"x": 1}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    arguments = [f"--{name}={value}" for name, value in SETTINGS.items()]
    arguments += ["--header-timeout-s=30"]
    with running([f"{telling.__file__}:Telling", *arguments], folder=tmp_path_factory.mktemp("heads")) as server:
        yield server


def headers(size: int) -> bytes:
    """Return so many bytes of headers, which are no more than a thousand and some each."""
    lines = b"".join(b"X-H%d: %s\r\n" % (number, b"x" * 1000) for number in range(size // 1010 + 1))
    return lines[: size - 2] + b"\r\n"


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def in_pieces(connection: socket.socket, data: bytes) -> None:
    """Send it so that the server reads it in several pieces; what comes behind an answer may not arrive."""
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), 9000):
            connection.sendall(data[start : start + 9000])
            time.sleep(0.02)


@pytest.mark.parametrize("is_cut", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("before", [b"", WHOLE, POST + JSON], ids=["alone", "behind a request", "behind a call"])
def test_a_head_that_is_too_large_is_a_431_in_its_turn(server: Running, before: bytes, is_cut: bool) -> None:
    """X4: of the kind."""
    data = before + GET + headers(MAX_HEAD_BYTES + 2000) + b"\r\n" + WHOLE
    with connect(server) as connection:
        if is_cut:
            in_pieces(connection, data)
        else:
            connection.sendall(data)
        answer = read_all(connection)
    assert re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer) == [b"200"] * bool(before) + [b"431"]
    assert b'"head_too_large"' in answer
    assert counted(server, "modelserve_connections_refused_total", reason="head_too_large") > 0
    assert b"64 KiB" in answer
    eventually(lambda: Watch(server).held("receiving") == 0)


@pytest.mark.parametrize("is_cut", [False, True], ids=["at once", "in pieces"])
def test_a_head_that_is_nearly_too_large_is_taken_and_the_next_begins_at_nothing(server: Running, is_cut: bool) -> None:
    """X4: of the kind."""
    data = POST + headers(MAX_HEAD_BYTES - 500) + JSON
    with connect(server) as connection:
        for _ in range(3):
            if is_cut:
                in_pieces(connection, data)
            else:
                connection.sendall(data)
            assert read_until(connection, b"}").startswith(b"HTTP/1.1 200 ")
    eventually(lambda: Watch(server).held("receiving") == 0)


def test_line_ends_before_a_request_are_a_part_of_its_head(server: Running) -> None:
    """X4: of the kind. They would be taken for ever."""
    with connect(server) as connection:
        in_pieces(connection, b"\r\n" * MAX_HEAD_BYTES)
        with contextlib.suppress(ConnectionError):
            assert read_all(connection).startswith(b"HTTP/1.0 431 ")


@pytest.mark.parametrize("is_cut", [False, True], ids=["at once", "in pieces"])
def test_a_body_is_no_part_of_a_head(server: Running, is_cut: bool) -> None:
    """X4: of the kind, the other way. The end of a body may come in a piece that is larger than any head."""
    body = b'{"x": 1' + b" " * ((4 if is_cut else 40) * MAX_HEAD_BYTES) + b"}"
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connect(server) as connection:
        for _ in range(3):
            if is_cut:
                in_pieces(connection, POST + head + body)
            else:
                connection.sendall(POST + head + body)
            assert read_until(connection, b"}").startswith(b"HTTP/1.1 200 ")


def test_heads_that_are_never_whole_take_a_bounded_room_and_make_way(server: Running) -> None:
    """X4: of the kind."""
    watch, part = Watch(server), GET + headers(MAX_HEAD_BYTES - 200)
    with contextlib.ExitStack() as stack:
        slow = []
        for number in range(600):
            slow.append(stack.enter_context(connect(server)))
            send(slow[-1], part)
            if number % 20 == 0:
                assert watch.held("receiving") <= LIMIT
            if number == 400:
                time.sleep(1.1)  # then those before are slow
        eventually(lambda: statuses(slow)["503"] + statuses(slow)["408"] >= 600 - LIMIT // len(part) - 5, within_s=30)
        assert min(statuses(slow)["408"], statuses(slow)["503"]) > 0
        assert watch.grown() < LIMIT + 64 * MIB
        watch.canary()
    eventually(lambda: watch.held("receiving") == 0)
