"""Connections that are slow, too many, or speak something else. Rows E of the list of faults."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Chaos
from tests.faults.raw import HEAD_END, begin, read_all, read_until
from tests.faults.told import counted
from tests.running import Reply, Running, eventually, running
from tests.web import telling

PATH = "/v2/models/chaos/predict/"
TIMEOUT_S = 1.0
MOST = 20
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def chaos(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """One server for all of these, with little patience and room for few."""
    folder = tmp_path_factory.mktemp("connections")
    limits = ["--header-timeout-s", f"{TIMEOUT_S}", "--body-timeout-s", f"{TIMEOUT_S}", "--max-connections", f"{MOST}"]
    env = {"CHAOS_LOG": str(folder / "side.log")}
    with running(["chaos", *limits], visible=[packages["chaos"]], folder=folder, env=env) as server:
        yield Chaos(server, folder / "side.log")


@pytest.fixture(autouse=True)
def all_is_well_afterwards(chaos: Chaos) -> Iterator[None]:
    """Nothing of it reaches the model, stays in the server or harms it, except where a test calls the model itself."""
    with aftermath(chaos.server):
        yield


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def drip(connection: socket.socket, data: bytes) -> tuple[bytes, float]:
    """Send a byte now and then until there is an answer; return it and after how long it came."""
    since = time.monotonic()
    connection.settimeout(0.1)
    for byte in data:
        with contextlib.suppress(OSError):
            connection.send(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            answer = connection.recv(65536)
            connection.settimeout(30)
            with contextlib.suppress(ConnectionError):
                answer += read_all(connection)
            return answer, time.monotonic() - since
    raise AssertionError("there was no answer")


def test_a_head_that_drips_is_ended_in_time(chaos: Chaos) -> None:
    """E01."""
    with connect(chaos.server) as connection:
        answer, after_s = drip(connection, b"GET /healthz HTTP/1.1\r\n" + b"X-Slow: " + b"x" * 400)
    assert status(answer) == 408
    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert told["code"] == "header_timeout"
    assert re.fullmatch(r"\w{16}", told["request_id"])
    assert {f"X-Request-ID: {told['request_id']}".encode(), b"Content-Length: %d" % len(body)} <= {*head.split(b"\r\n")}
    assert TIMEOUT_S - 0.5 < after_s < 6 * TIMEOUT_S


def test_a_head_that_stops_at_a_line_is_told_that_it_is_late(chaos: Chaos) -> None:
    """E01."""
    with connect(chaos.server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert status(read_all(connection)) == 408


@pytest.mark.parametrize("head", [b"GET /%b HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\r\nX-Big: %b\r\n\r\n"])
def test_a_line_of_a_head_that_is_too_long_is_told(chaos: Chaos, head: bytes) -> None:
    """E01: of the kind."""
    with connect(chaos.server) as connection:
        connection.sendall(head % (b"x" * 9000))
        answer = read_all(connection)
    assert status(answer) == 400
    assert b"8,190 bytes" in answer


def test_a_connection_that_is_idle_makes_way_for_a_new_one(chaos: Chaos) -> None:
    """E08: whoever only holds places takes none from others."""
    request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    before = counted(chaos.server, "modelserve_connections_refused_total", reason="idle")
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect(chaos.server)) for _ in range(MOST)]
        for connection in kept:
            connection.sendall(request)
        for connection in kept:
            assert status(read_until(connection, b"}")) in (200, 503)
        eventually(lambda: chaos.server.get("/v2/").status == 200)
        assert counted(chaos.server, "modelserve_connections_refused_total", reason="idle") > before
        assert any(connection.recv(1) == b"" for connection in kept)


@pytest.mark.parametrize("rest", [b"localhost\r\nContent-Length: 2\r\n\r\n{}", b"{}"], ids=["head", "body"])
def test_what_came_while_the_server_stood_still_came_in_time(chaos: Chaos, rest: bytes) -> None:
    """Y23: a client is not to blame for it."""
    whole = f"POST {PATH} HTTP/1.1\r\nContent-Type: application/json\r\nHost: ".encode()
    whole += b"localhost\r\nContent-Length: 2\r\n\r\n{}"
    with connect(chaos.server) as connection:
        connection.sendall(whole.removesuffix(rest))
        eventually(lambda: chaos.server.get("/healthz").status == 200)  # so that it has seen it
        chaos.server.process.send_signal(signal.SIGSTOP)
        try:
            connection.sendall(rest)
            until = time.monotonic() + 1.5 * TIMEOUT_S
            eventually(lambda: time.monotonic() > until)
        finally:
            chaos.server.process.send_signal(signal.SIGCONT)
        assert status(read_until(connection, b"}")) == 200


def test_a_head_that_drips_behind_a_whole_request_is_ended_too(chaos: Chaos) -> None:
    """E01."""
    with connect(chaos.server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(read_until(connection, b'"alive"}')) == 200
        answer, after_s = drip(connection, b"GET /healthz HTTP/1.1\r\n" + b"X-Slow: " + b"x" * 400)
    assert status(answer) == 408
    assert after_s < 6 * TIMEOUT_S


def test_a_connection_on_which_nothing_is_said_is_closed_and_one_that_is_kept_is_not(chaos: Chaos) -> None:
    """E01."""
    with connect(chaos.server) as silent, connect(chaos.server) as kept:
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(kept, b'"alive"}')
        assert silent.recv(100) == b""
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(read_until(kept, b'"alive"}')) == 200


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("length", ["Content-Length: 500", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_a_408(chaos: Chaos, kind: str, length: str) -> None:
    """E02."""
    called = len(chaos.events("predict"))
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
    with connect(chaos.server) as connection:
        connection.sendall(head.encode())
        answer, after_s = drip(connection, b"1\r\n" * 200)
    assert status(answer) == 408
    assert b'"body_timeout"' in answer
    assert TIMEOUT_S - 0.5 < after_s < 6 * TIMEOUT_S
    assert len(chaos.events("predict")) == called
    eventually(lambda: not chaos.server.uploads())


def test_a_body_that_comes_slowly_but_really_comes_is_taken(chaos: Chaos) -> None:
    """E02: a long upload on a slow line."""
    part = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n%b\r\n--b--\r\n' % (b"x" * 300_000)
    head = f"Host: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(part)}\r\n"
    since = time.monotonic()
    with connect(chaos.server) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
        for start in range(0, len(part), 30_000):
            connection.sendall(part[start : start + 30_000])
            with contextlib.suppress(TimeoutError):
                connection.settimeout(0.3)
                connection.recv(1, socket.MSG_PEEK)
        connection.settimeout(30)
        assert status(read_all(connection)) == 200
    assert time.monotonic() - since > TIMEOUT_S


def is_kept(server: Running, connection: socket.socket) -> bool:
    """Tell whether the server still has its end of a connection."""
    ends = psutil.Process(server.process.pid).net_connections("tcp")
    return any(end.raddr and end.raddr.port == connection.getsockname()[1] for end in ends)


@pytest.mark.parametrize("mode", ["big", "big_bytes"])
def test_a_client_that_reads_nothing_of_a_large_answer_is_left_in_time(chaos: Chaos, mode: str) -> None:
    """E03."""
    with begin(chaos.server, "chaos", {"mode": mode, "n": 32}, receive_bytes=4096) as connection:
        eventually(lambda: connection.recv(1, socket.MSG_PEEK) == b"H", within_s=30)
        assert is_kept(chaos.server, connection)
        eventually(lambda: not is_kept(chaos.server, connection), within_s=30)


def ask_over(connection: socket.socket, path: str) -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return read_all(connection)


def keep(server: Running) -> socket.socket:
    """Return a connection on which the server has answered, and which it keeps."""
    connection = connect(server)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    read_until(connection, b'"alive"}')
    return connection


def test_no_more_connections_are_kept_than_allowed_and_health_still_answers(chaos: Chaos) -> None:
    """E08. The aftermath's own connections come on the reserved ones meanwhile."""
    server = chaos.server
    with contextlib.ExitStack() as stack:
        while status(probe := _probe(server)) == 200:
            stack.enter_context(contextlib.closing(keep(server)))
        assert status(probe) == 503
        assert b"Retry-After: " in probe
        for path in ("/healthz", "/readyz", "/readyz/"):
            with connect(server) as connection:
                assert status(ask_over(connection, path)) == 200
        with connect(server) as connection:
            connection.sendall(b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.0 400 ")
    assert eventually(lambda: _probe(server).startswith(b"HTTP/1.1 200"))


def _probe(server: Running) -> bytes:
    with connect(server) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return read_all(connection)


def test_many_requests_at_once_on_one_connection_are_all_answered_in_turn(chaos: Chaos) -> None:
    """E10."""
    server = psutil.Process(chaos.server.process.pid)
    before = server.memory_info().rss
    with connect(chaos.server) as connection:
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall((request + b"\r\n") * 999 + request + b"Connection: close\r\n\r\n")
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 1000
    assert server.memory_info().rss - before < 20 * MIB


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 1000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 10_000 + b"\r\n",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_http_is_a_400_in_json_that_repeats_nothing_of_it(chaos: Chaos, data: bytes) -> None:
    """E12, L07, N01."""
    log = chaos.server.log
    with connect(chaos.server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        answer = read_all(connection)
    assert status(answer) == 400
    head, _, body = answer.partition(HEAD_END)
    assert b"Content-Type: application/json" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b'"bad_request"' in body
    assert b"script" not in body
    assert chaos.server.log == log


# What proxies and servers have read in different ways; https://portswigger.net/web-security/request-smuggling and
# the invalid requests of gunicorn's tests.
SMUGGLED = {
    "length and chunked": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    "two equal lengths": "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": "Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": "Content-Length: +2\r\n\r\n{}",
    "a negative length": "Content-Length: -2\r\n\r\n{}",
    "a length in hexadecimal": "Content-Length: 0x2\r\n\r\n{}",
    "a length with an underscore": "Content-Length: 1_0\r\n\r\n{}        ",
    "a length that is no number": "Content-Length: two\r\n\r\n{}",
    "an empty length": "Content-Length:\r\n\r\n{}",
    "a length over 64 bits": "Content-Length: 18446744073709551618\r\n\r\n{}",
    "xchunked": "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked, identity": "Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "identity": "Transfer-Encoding: identity\r\n\r\n{}",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked with a vertical tab": "Transfer-Encoding: \x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked in quotes": 'Transfer-Encoding: "chunked"\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    "two hosts": "Host: localhost\r\nContent-Length: 2\r\n\r\n{}",
    "bare line feeds": "Content-Length: 2\n\n{}",
    "a bare carriage return": "X: a\rContent-Length: 2\r\n\r\n{}",
    "a folded header": "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "a folded length": "Content-Length:\r\n 2\r\n\r\n{}",
    "a space before the colon": "Content-Length : 2\r\n\r\n{}",
    "a space before a name": " Content-Length: 2\r\n\r\n{}",
    "a tab before the colon": "Transfer-Encoding\t: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a NUL in a value": "X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL in a name": "X\x00: a\r\nContent-Length: 2\r\n\r\n{}",
    "a header without a colon": "Content-Length\r\n\r\n{}",
    "a header without a name": ": a\r\nContent-Length: 2\r\n\r\n{}",
    "a name in brackets": "(X): a\r\nContent-Length: 2\r\n\r\n{}",
    "a chunk's size with a sign": "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a chunk's size in 0x": "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk's size with an underscore": "Transfer-Encoding: chunked\r\n\r\n0_2\r\n{}\r\n0\r\n\r\n",
    "a chunk's size over 64 bits": "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
    "a chunk's end without a carriage return": "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a line feed in a chunk's extension": "Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a folded trailer": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n",
    "an upgrade to HTTP/2": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: +2\r\n\r\n{}",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_a_request_that_may_be_read_in_two_ways_is_refused_and_its_connection_closed(chaos: Chaos, case: str) -> None:
    """E11: what stands behind it is not taken for a request."""
    called = len(chaos.events("predict"))
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    behind = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(chaos.server) as connection:
        connection.sendall((head + SMUGGLED[case] + behind).encode("latin-1"))
        answer = read_all(connection)
    assert status(answer) == 400, answer
    assert answer.count(b"HTTP/1.") == 1
    assert len(chaos.events("predict")) == called


def test_open_files_that_run_out_cost_connections_and_not_the_server(chaos: Chaos) -> None:
    """E09."""
    server = chaos.server
    process = psutil.Process(server.process.pid)
    limits, log = process.rlimit(resource.RLIMIT_NOFILE), len(server.log)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() + 4, limits[1]))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(contextlib.closing(connect(server)))
            eventually(lambda: process.num_fds() >= process.rlimit(resource.RLIMIT_NOFILE)[0] - 2)
        since = time.monotonic()
        eventually(lambda: _answers(server))
        assert time.monotonic() - since < 6
    finally:
        process.rlimit(resource.RLIMIT_NOFILE, limits)
    assert len(server.log) - log < 20_000


def _answers(server: Running) -> bool:
    try:
        reply: Reply = server.request("GET", "/healthz", timeout_s=2)
    except OSError:
        return False
    return reply.status == 200


def test_a_server_that_may_open_too_few_files_is_refused(tmp_path: Path) -> None:
    """E09."""
    command = f"ulimit -n 100 && exec {sys.executable} -m modelserve run --port 0 {telling.__file__}:Telling"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert "may have 100 files open" in done.stderr


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_one_connection_may_make_any_number_of_requests(chaos: Chaos) -> None:
    """E13."""
    server = psutil.Process(chaos.server.process.pid)
    before, body = 0, b'{"mode": "ok"}'
    lines = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with connect(chaos.server) as connection:
        for count in range(10_000):
            connection.sendall(f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            assert status(read_until(connection, b"}")) == 200
            before = server.memory_info().rss if count == 1000 else before
    assert server.memory_info().rss - before < 5 * MIB
