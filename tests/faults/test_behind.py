"""What a client sends behind a request on its connection: further requests, trailers, what is no HTTP any more."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults.raw import read_all, read_until
from tests.faults.test_rooms import MIB, Watch
from tests.running import Running, eventually, running

MODEL = """
import time
from modelserve.v2 import fields

def get_predict_args():
    return {
        "key": fields.Str(load_default="none", data_key="X-Key", metadata={"location": "headers"}),
        "sleep_s": fields.Float(load_default=0.0),
    }

def predict(key, sleep_s):
    time.sleep(sleep_s)
    return {"key": key}
"""

POST = b"POST /v2/models/sleepy/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"

# What one connection holds at most: see "What the server holds at most".
OF_ONE = 3 * MIB // 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("behind")
    (folder / "sleepy.py").write_text(MODEL)
    with running([str(folder / "sleepy.py"), "--body-timeout-s", "600"], folder=folder) as server:
        yield server


def post(body: bytes = b"{}", headers: bytes = b"") -> bytes:
    return POST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def in_turn(connection: socket.socket, *pieces: bytes) -> None:
    """Send pieces that the server reads one by one; what comes behind an answer may not arrive."""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.05)


def statuses(answer: bytes) -> list[int]:
    return list(map(int, re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)))


def fill(connection: socket.socket, data: bytes) -> None:
    """Send what the server takes of it."""
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        connection.sendall(data)


FLOODS = {
    "bodies": post(b"{" + b" " * 500_000 + b"}") * 31,
    "heads": post(headers=b"".join(b"X-%d: %s\r\n" % (number, b"x" * 7500) for number in range(8))) * 31,
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 16_000 + b"0\r\n\r\n") * 31,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_little_is_read_ahead_of_what_is_sent_behind_a_call_that_takes_long(server: Running, flood: str) -> None:
    """X4: of the kind. It was up to 24 MiB for each connection."""
    watch, many = Watch(server), 8
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(many)]
        for connection in connections:
            connection.sendall(post(b'{"sleep_s": 0.3}'))
        for connection in connections:
            fill(connection, FLOODS[flood])
        assert watch.grown() < many * OF_ONE
    eventually(lambda: watch.held("receiving") == 0, within_s=30)
    assert server.predict("sleepy", {}).status == 200


def test_trailers_are_headers_of_no_request(server: Running) -> None:
    """X4: of the kind. The parser takes the last one for a header of the next request."""
    trailer = b"X-Key: of a trailer\r\n\r\n"
    for pieces in (
        [CHUNKED + trailer + post()],
        [CHUNKED + trailer, post()],
        [CHUNKED[:-2], b"\r\n" + trailer, post()],
    ):
        with connect(server) as connection:
            in_turn(connection, *pieces)
            with contextlib.suppress(ConnectionError):  # it does not read on, so that the end may come as a reset
                answer = read_until(connection, b"}}")
                answer += read_all(connection)
        assert statuses(answer) == [200]
        assert b"of a trailer" not in answer


def test_trailers_behind_a_body_that_has_to_wait_are_headers_of_no_request(server: Running) -> None:
    """X4: of the kind. The parser keeps what comes behind such a body, and takes it later."""
    slow, last = post(b'{"sleep_s": 0.05}'), post(headers=b"Connection: close\r\n")
    for size in range(0, 1_600_000, 60_000):
        with connect(server) as connection, contextlib.suppress(ConnectionError):
            in_turn(
                connection, slow + post(b"{" + b" " * size + b"}") + CHUNKED + b"X-Key: of a trailer\r\n\r\n" + last
            )
            answer = read_all(connection)
            assert statuses(answer) == [200] * 3
            assert b"of a trailer" not in answer


def test_a_chunked_body_without_trailers_leaves_the_connection_to_further_requests(server: Running) -> None:
    """X4: of the kind, the other way."""
    whole = CHUNKED + b"\r\n"
    for cut in range(len(CHUNKED) - 6, len(whole)):
        with connect(server) as connection:
            in_turn(connection, whole[:cut], whole[cut:] + whole + post()[:40], post()[40:])
            answer = b""
            while answer.count(b"}}") < 3:
                answer += read_until(connection, b"}}")
        assert statuses(answer) == [200, 200, 200]


def test_the_body_of_a_request_is_no_part_of_the_one_before(server: Running) -> None:
    """X4: of the kind, the other way. What was answered before its body came was looked at with the next one's body."""
    refused = CHUNKED.replace(b"POST", b"PUT")
    with connect(server) as connection:
        connection.sendall(refused[:-3])
        answer = read_until(connection, b"}")
        connection.sendall(refused[-3:] + b"\r\n" + post(b'{"sleep_s":\n0\n}', b"Connection: close\r\n"))
        answer += read_all(connection)
    assert statuses(answer) == [405, 200]


@pytest.mark.parametrize("body", [b'{"sleep_s":\n0\n}', b"{}"])
def test_an_answer_behind_which_the_connection_is_closed_says_so(server: Running, body: bytes) -> None:
    """X4: of the kind. A client kept the connection, and its next request was lost."""
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(body), body) + (b"X: y\r\n\r\n" if body == b"{}" else b"\r\n")
    for cut in range(1, len(chunks), 4):
        with connect(server) as connection:
            in_turn(connection, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks[:cut], chunks[cut:])
            answer = read_all(connection)
        assert statuses(answer) == [200]
        assert b"\r\nConnection: close\r\n" in answer


def test_trailers_without_end_take_a_bounded_room(server: Running) -> None:
    """X4: of the kind."""
    with connect(server) as connection:
        in_turn(connection, CHUNKED, *(b"X-%d: %s\r\n" % (number, b"x" * 8000) for number in range(100)))
        with contextlib.suppress(ConnectionError):
            answer = read_until(connection, b"}")
            assert statuses(answer) == [400]
            assert b"more than 64 KiB" in answer


@pytest.mark.parametrize("kind", [b"application/json", b"multipart/form-data; boundary=b"])
def test_a_body_that_breaks_off_being_chunked_is_a_400_at_once(server: Running, kind: bytes) -> None:
    """D01: it was waited for until ``body_timeout_s``."""
    with connect(server) as connection:
        in_turn(connection, CHUNKED[:-3].replace(b"application/json", kind), b"zz\r\n" + post())
        answer = read_all(connection)
    assert statuses(answer) == [400]
    assert b'"bad_request"' in answer


@pytest.mark.parametrize("asked", [b"websocket", b"WebSocket", b"h2c"])
def test_a_request_to_speak_another_protocol_is_answered_and_its_tail_is_no_head(server: Running, asked: bytes) -> None:
    """X4: of the kind. Its tail counted as a head: a large body behind it was a 431."""
    upgrade, body = b"Connection: Upgrade\r\nUpgrade: %s\r\n" % asked, post(b"{" + b" " * 300_000 + b"}")
    with connect(server) as connection:
        pieces = [body[start : start + 30_000] for start in range(0, len(body), 30_000)]
        in_turn(connection, post(b'{"sleep_s": 0.5}', upgrade), *pieces)
        answer, most = read_until(connection, b"}}"), 2 if asked == b"h2c" else 1
        with contextlib.suppress(ConnectionError):
            while answer.count(b"}}") < most:
                answer += read_until(connection, b"}}")
    assert statuses(answer) == [200] * most


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
LONG = b"{" + b" " * 500 + b"}"


@pytest.mark.parametrize(
    "pieces",
    [
        [GET + H2C + b"\r\n" + GET + b"\r\n"],
        [GET + b"\r\n" + GET + H2C + b"\r\n" + GET + b"\r\n"],
        [post(headers=H2C) + post()],
        [post(LONG, H2C)[:-100], LONG[-100:] + post()],
        [POST + H2C + b"Content-Length: 2\r\n\r\n", b"{}" + GET + b"\r\n"],
        [POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + post()],
        [post(headers=H2C) + post(LONG)[:-400], LONG[-400:-300] + GET + b"\r\n" + b" " * 100],
    ],
)
def test_what_comes_in_one_piece_with_a_request_for_another_protocol_is_told_to_be_lost(
    server: Running, pieces: list[bytes]
) -> None:
    """X4: of the kind. It was dropped without a word, and the client waited; the rest of a body was a request."""
    with connect(server) as connection:
        in_turn(connection, *pieces)
        answer = read_all(connection)
    assert set(statuses(answer)) == {200}
    assert len(statuses(answer)) == b"".join(pieces).partition(H2C)[0].count(b" HTTP/1.1")
    assert answer.rpartition(b"HTTP/1.1 200")[2].lower().count(b"connection: close") == 1


@pytest.mark.parametrize("asking", [[GET + H2C + b"\r\n"], [post(LONG, H2C)], [post(LONG, H2C)[:-300], LONG[-300:]]])
def test_a_client_that_would_rather_speak_http2_keeps_its_connection(server: Running, asking: list[bytes]) -> None:
    """X4: of the kind, the other way. So do curl, with --http2, and Java's own client on its first request."""
    with connect(server) as connection:
        for _ in range(3):
            in_turn(connection, *asking)
            assert statuses(read_until(connection, b"}")) == [200]


def test_a_large_head_among_many_requests_is_refused(server: Running) -> None:
    """X4: of the kind. One that came with more requests than the parser takes at once was not."""
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    large = get + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(100)) + b"\r\n"
    with connect(server) as connection:
        connection.sendall((get + b"\r\n") * 35 + large + get + b"\r\n")
        assert statuses(read_all(connection)) == [200] * 35 + [431]


def test_what_is_malformed_of_a_body_that_nobody_reads_is_no_fault_of_the_server(server: Running) -> None:
    """X4: it came while aiohttp waited for the rest of what was refused, and left a traceback in the log."""
    refused = CHUNKED.replace(b"Host: localhost", b"Host: elsewhere")[:-3]
    with connect(server) as connection:
        in_turn(connection, refused)
        answer = read_until(connection, b"\r\n\r\n")
        in_turn(connection, b"zz\r\n")
        with contextlib.suppress(ConnectionError):
            answer += read_all(connection)
    assert statuses(answer) == [421]
    assert "Traceback" not in server.log
