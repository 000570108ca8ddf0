"""Requests over a bare socket, for clients that leave, that do not read on, and that look at every byte.

with begin(server, "chaos", {"mode": "sleep", "n": 30}) as connection:
    ...  # the model has it
# here the client has left
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from tests.running import Running

__all__ = ["HEAD_END", "begin", "read_all", "read_until"]

HEAD_END = b"\r\n\r\n"


def begin(
    server: Running,
    model: str,
    arguments: Mapping[str, Any] | bytes,
    *,
    headers: Mapping[str, str] = {},
    receive_bytes: int = 0,
) -> socket.socket:
    """Send a request whose answer is not awaited; return its connection, to be closed by the caller.

    Args:
        server: To whom.
        model: Its name.
        arguments: Sent as JSON, or a whole body.
        headers: Further ones.
        receive_bytes: Size of the system's buffer of what was not read yet, 0 for its own choice.
    """
    body = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
    lines = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = f"POST /v2/models/{model}/predict/ HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    connection = socket.socket()
    connection.settimeout(20)
    if receive_bytes:  # has to be said before it connects, or TCP has offered more already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(head.encode() + b"\r\n" + body)
    return connection


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes, up to a piece of it and what came with that."""
    received = b""
    while end not in received:
        chunk = connection.recv(65536)
        assert chunk, f"closed after {received[-1000:]!r}"
        received += chunk
    return received


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    received = bytearray()
    while chunk := connection.recv(1 << 20):
        received += chunk
    return bytes(received)
