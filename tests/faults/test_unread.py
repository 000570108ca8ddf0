"""Clients that stop reading near the end of an answer, when the server has nothing more to do for them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults.told import counted
from tests.running import Running, eventually, running

MODEL = """
from modelserve.v2 import fields

def get_predict_args():
    return {"n": fields.Int(load_default=1), "accept": fields.Str(load_default="application/octet-stream")}

def predict(n, accept):
    return b"x" * n
"""

KIB = 1024
RECEIVE_BYTES = 4 * KIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("unread")
    (folder / "large.py").write_text(MODEL)
    with running([str(folder / "large.py"), "--body-timeout-s", "2"], folder=folder) as server:
        yield server


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


def ask(server: Running, size: int) -> socket.socket:
    body = b'{"n": %d}' % size
    head = b"POST /v2/models/large/predict/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    connection = connect(server.port)
    connection.sendall(head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return connection


def test_a_client_that_does_not_read_the_end_of_an_answer_keeps_no_place(server: Running) -> None:
    """E03: of the last 64 KiB, for which nothing waits, too; the connection was there as long as the client's."""
    most = system_takes()
    with contextlib.ExitStack() as stack:
        for size in range(most - 256 * KIB, most + 96 * KIB, 12 * KIB):
            stack.enter_context(ask(server, size))
        eventually(lambda: counted(server, "modelserve_connections", state="open") > 1)
        eventually(lambda: counted(server, "modelserve_connections", state="open") == 1, within_s=30)
