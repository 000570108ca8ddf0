"""Clients that read an answer slowly, or stop near its end, when the server has nothing more to do for them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.authority import Authority
from tests.faults.raw import read_until
from tests.faults.test_handshakes import Tls
from tests.faults.test_handshakes import port as port_of
from tests.faults.told import counted
from tests.running import Running, eventually, running

STREAMING = """
from collections.abc import Iterator
from modelserve.v2 import fields

def get_predict_args():
    return {"n": fields.Int(load_default=1)}

def predict(n) -> Iterator[str]:
    yield "x" * n
"""

MODEL = """
import tempfile
from modelserve.v2 import OutputFile, fields

def get_predict_args():
    return {
        "n": fields.Int(load_default=1),
        "accept": fields.Str(load_default="application/octet-stream"),
        "filed": fields.Bool(load_default=False),
    }

def predict(n, accept, filed):
    if not filed:
        return b"x" * n
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"x" * n)
    return OutputFile(file.name, content_type=accept, delete=True)
"""

KIB = 1024
RECEIVE_BYTES = 4 * KIB

# How long a client may read nothing.
LIMIT_S = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("unread")
    (folder / "large.py").write_text(MODEL)
    with running([str(folder / "large.py"), "--body-timeout-s", str(LIMIT_S)], folder=folder) as server:
        yield server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("unread-tls")
    (folder / "streaming.py").write_text(STREAMING)
    authority = Authority(folder)
    files = authority.issue("localhost", "127.0.0.1")
    own = ["--tls-cert", str(files.cert), "--tls-key", str(files.key), "--body-timeout-s", str(LIMIT_S)]
    with running([str(folder / "streaming.py"), *own], folder=folder, wait=False) as server:
        server.port = eventually(lambda: port_of(server), within_s=60)
        yield Tls(server, authority)


def connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    return connection


def system_takes() -> int:
    """Return about how much of an answer the system takes of a server whose client reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening, connect(listening.getsockname()[1]):
        sending, _ = listening.accept()
        with sending, contextlib.suppress(BlockingIOError):
            sending.setblocking(False)
            taken, until = 0, time.monotonic() + 0.2
            while time.monotonic() < until:
                with contextlib.suppress(BlockingIOError):
                    taken += sending.send(bytes(256 * KIB))
        return taken


def asking(model: bytes, size: int, headers: bytes = b"", more: bytes = b"") -> bytes:
    body = b'{"n": %d%s}' % (size, more)
    head = b"POST /v2/models/%s/predict/ HTTP/1.1\r\nHost: localhost\r\n%s" % (model, headers)
    return head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def ask(server: Running, size: int) -> socket.socket:
    connection = connect(server.port)
    connection.sendall(asking(b"large", size, b"Connection: close\r\n"))
    return connection


def test_a_client_that_does_not_read_the_end_of_an_answer_keeps_no_place(server: Running) -> None:
    """E03: of the last 64 KiB, for which nothing waits, too; the connection was there as long as the client's."""
    most = system_takes()
    with contextlib.ExitStack() as stack:
        for size in range(most - 256 * KIB, most + 96 * KIB, 12 * KIB):
            stack.enter_context(ask(server, size))
        eventually(lambda: counted(server, "modelserve_connections", state="open") > 1)
        eventually(lambda: counted(server, "modelserve_connections", state="open") == 1, within_s=30)


def test_who_reads_nothing_of_what_was_written_at_once_over_tls_is_given_up_and_it_is_counted(tls: Tls) -> None:
    """E03, X5: the loop took all of it, and said that nothing waits."""
    size, many = 8 * KIB * KIB, 5
    with contextlib.ExitStack() as stack:
        for _ in range(many):
            bare = connect(tls.server.port)
            stack.enter_context(tls.context.wrap_socket(bare, server_hostname="127.0.0.1")).sendall(
                asking(b"streaming", size)
            )
        eventually(lambda: tls.counted("modelserve_held_bytes")["sending"] > many * size / 2)
        eventually(lambda: tls.counted("modelserve_connections")["open"] == 1, within_s=30)
    assert tls.counted("modelserve_held_bytes")["sending"] == 0


def test_what_is_written_at_once_over_tls_comes_whole_to_who_reads_it_late(tls: Tls) -> None:
    """X5: of the kind, the other way."""
    size = 8 * KIB * KIB
    with tls.context.wrap_socket(connect(tls.server.port), server_hostname="127.0.0.1") as connection:
        connection.sendall(asking(b"streaming", size) + asking(b"streaming", 3))
        eventually(lambda: tls.counted("modelserve_held_bytes")["sending"] > size / 2)
        answer, end = b"", b"\r\n0\r\n\r\n"
        while answer.count(end) < 2:
            answer += read_until(connection, end)
    assert answer.count(b"x") >= size + 3


def read_slowly(connection: socket.socket) -> bytes:
    """Read for three times as long as a client may read nothing, far less than makes a socket writable; then all."""
    received, until = b"", time.monotonic() + 3 * LIMIT_S
    while time.monotonic() < until:
        received += connection.recv(2 * KIB)
        time.sleep(0.1)
    while chunk := connection.recv(64 * KIB):
        received += chunk
    return received


@pytest.mark.parametrize("more", [b"", b', "filed": true'])
def test_who_reads_slowly_but_reads_gets_the_whole_answer(server: Running, more: bytes) -> None:
    """E03: the system says that it takes more only once a megabyte was read; who took longer for it was cut off."""
    size = system_takes() + 2 * KIB * KIB
    with connect(server.port) as connection:
        connection.sendall(asking(b"large", size, b"Connection: close\r\n", more))
        answer = read_slowly(connection)
    assert answer.count(b"x") >= size


def test_who_reads_slowly_over_tls_gets_the_whole_answer(tls: Tls) -> None:
    """E03: of the kind."""
    size = system_takes() + 2 * KIB * KIB
    with tls.context.wrap_socket(connect(tls.server.port), server_hostname="127.0.0.1") as connection:
        connection.sendall(asking(b"streaming", size, b"Connection: close\r\n"))
        answer = read_slowly(connection)
    assert answer.count(b"x") >= size


def test_who_does_not_agree_to_the_end_over_tls_keeps_no_place(tls: Tls) -> None:
    """E03: of the kind. Whoever had read all, and did nothing more, kept its connection for half a minute."""
    with tls.context.wrap_socket(connect(tls.server.port), server_hostname="127.0.0.1") as connection:
        connection.sendall(asking(b"streaming", 3, b"Connection: close\r\n"))
        assert b"xxx" in read_until(connection, b"\r\n0\r\n\r\n")
        eventually(lambda: tls.counted("modelserve_connections")["open"] == 1, within_s=15)
