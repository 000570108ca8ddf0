"""Makes the connections of a server, and no more than it can serve.

    up to max_connections          what the server answers
    RESERVED more                  /healthz and /readyz; 503 for all else, and the connection is closed
    beyond                         closed at once

So a server that is full still tells an orchestrator that it lives, and does not run out of open files.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from modelserve.errors import Unavailable
from modelserve.messages import Failure
from modelserve.web.connection import Connection, Patience
from modelserve.web.failures import failure_response
from modelserve.web.health import Health

__all__ = ["LINGER_S", "RESERVED", "Front"]

# Connections that the system has accepted for us and we have not yet taken.
BACKLOG = 1024

# Connections for those who ask whether the server lives, while all others are taken.
RESERVED = 16

# How long a connection is read on after a refusal, so that the client sees the answer before the connection ends.
LINGER_S = 1.0

# How long a connection stays open without a request: longer than load balancers keep theirs, of which Google's has the
# longest time; https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries
KEEPALIVE_S = 620.0

FULL = Failure(503, Unavailable.code, "The server has as many connections as it can serve; close some, or come again.")


class Front:
    """A factory of connections, as ``loop.create_server`` calls it.

    Args:
        server: What answers the requests.
        health: What still answers when all connections are taken.
        base_path: The prefix of every route.
        max_connections: How many connections there may be.
        patience: How long a client may take.
    """

    def __init__(
        self, server: web.Server, health: Health, base_path: str, *, max_connections: int, patience: Patience
    ) -> None:
        self._server = server
        self._answers: dict[str, Callable[[Any], Awaitable[web.Response]]] = {
            f"{base_path}/healthz": health.alive,
            f"{base_path}/readyz": health.ready,
        }
        self._reserve = web.Server(self._answer_full)
        self._max_connections = max_connections
        self._patience = patience
        self._open: set[Connection] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return what serves a new connection."""
        count = len(self._open)
        if count >= self._max_connections + RESERVED:
            return _Closed()
        connection = self._connect(self._server if count < self._max_connections else self._reserve)
        self._open.add(connection)
        return connection

    async def listen(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        """Serve what connects to a socket, over TLS where its context is given."""
        limit_s = (self._patience.header_timeout_s or None) if tls is not None else None
        return await asyncio.get_running_loop().create_server(
            self, sock=listening, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=limit_s
        )

    async def close(self) -> None:
        """Close the reserved connections; the others are the server's to close."""
        self._reserve.pre_shutdown()
        await self._reserve.shutdown(0)

    def _connect(self, server: web.Server) -> Connection:
        return Connection(
            server,
            patience=self._patience,
            on_end=self._open.discard,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
        )

    async def _answer_full(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._answers.get(request.path.rstrip("/")) if request.method in ("GET", "HEAD") else None
        request_id = secrets.token_hex(8)
        response: web.Response = failure_response(FULL, request_id) if answer is None else await answer(request)
        response.headers["X-Request-ID"] = request_id
        response.headers["Server"] = "modelserve"
        response.force_close()
        return response


class _Closed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
