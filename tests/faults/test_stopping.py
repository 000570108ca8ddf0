"""A server that is told to stop while clients do not read, do not send and wait for a call that does not end."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.faults import much
from tests.faults.raw import read_all, read_until
from tests.running import are_gone, eventually, running
from tests.web import telling

GRACE_S = 1.0
HEAD = "POST /v2/models/{} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"

HELD = {
    "a call that does not end": HEAD.format("much/predict/?wait_s=1000", 2) + "{}",
    "a file that is not read": HEAD.format(
        "telling/predict/?answer=output_file&accept=application/octet-stream&x=60", 2
    )
    + "{}",
    "a body that is not sent": HEAD.format("much/predict/", 100) + "{",
    "a log that is followed": "GET /v2/models/much/log?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("held", [list(HELD), list(HELD)[1:2]], ids=["all", "a file"])
def test_all_that_is_under_way_together_takes_the_grace_and_two_seconds(held: list[str], tmp_path: Path) -> None:
    """X9. Two more for a busy machine."""
    models = [f"{telling.__file__}:Telling", f"{much.__file__}:Much"]
    with running([*models, "--grace-s", f"{GRACE_S}"], folder=tmp_path) as server, contextlib.ExitStack() as stack:
        for name in held:
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(HELD[name].encode())
            if "file" in name or "log" in name:
                assert connection.recv(15) == b"HTTP/1.1 200 OK"
        eventually(lambda: _are_there(server.get("/metrics").body.decode(), len(held)))
        family, since = server.family(), time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert time.monotonic() - since < GRACE_S + 2 + 2
        assert are_gone(family)
        assert "Traceback" not in server.log


def test_a_server_that_stops_tells_its_clients_that_it_closes_their_connections(tmp_path: Path) -> None:
    """X9: of the kind. Else their next requests are lost."""
    with running([f"{much.__file__}:Much"], folder=tmp_path) as server, contextlib.ExitStack() as stack:
        idle, busy = (stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20)) for _ in range(2))
        for connection in (idle, busy):
            connection.sendall((HEAD.format("much/predict/", 2) + "{}").encode())
            assert b"200 OK" in read_until(connection, b"\r\n\r\nxx")
        busy.sendall((HEAD.format("much/predict/?wait_s=2", 2) + "{}").encode())
        begun = re.compile(rb'queue_duration_seconds_count\{deployment="much"[^}]*\} 3')
        eventually(lambda: begun.search(server.get("/metrics").body))
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.get("/readyz").status == 503)
        idle.sendall((HEAD.format("much/predict/", 2) + "{}").encode())
        for connection, status in ((idle, b"503"), (busy, b"200")):
            answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"\r\nConnection: close\r\n" in answer
        assert server.process.wait(30) == 0


def _are_there(metrics: str, count: int) -> bool:
    """Tell whether the server has taken so many connections, beside the one that asks."""
    return f'modelserve_connections{{state="open"}} {count + 1}.0' in metrics
