"""Makes the connections of a server, and no more than it can serve.

    up to max_connections          what the server answers; for a newer one, one that is idle is closed
    RESERVED more                  /healthz and /readyz; 503 for all else, and the connection is closed
    beyond                         the oldest of those is closed for it

So a server that is full still tells an orchestrator that it lives, and does not run out of open files. A connection
counts from when it is made, which over TLS is behind its handshake, and until it is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, cast

from aiohttp import hdrs, web

from modelserve.errors import BadRequest, Unavailable
from modelserve.messages import Failure
from modelserve.metrics.connections import ConnectionMetrics
from modelserve.settings import Settings
from modelserve.supervised import Supervisor
from modelserve.web.connection import LINGER_S, Connection, Patience
from modelserve.web.failures import failure_response
from modelserve.web.handshakes import Handshakes
from modelserve.web.health import Health
from modelserve.web.http_version import require_version
from modelserve.web.paced import Paced
from modelserve.web.rooms import Rooms

__all__ = ["RESERVED", "Front"]

# Connections that the system has accepted for us and we have not yet taken.
BACKLOG = 1024

# Connections for those who ask whether the server lives, while all others are taken.
RESERVED = 16

# How long a connection stays open without a request: longer than load balancers keep theirs, of which Google's has the
# longest time; https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries
KEEPALIVE_S = 620.0

# How long without a request one stays open in any case, and at how many it is looked when a place is needed.
IDLE_S = 5.0
MOST_LOOKED_AT = 1000

# How often it is looked whether all has been answered, once the server ends.
LOOK_S = 0.02

Handler = Callable[[Any], Awaitable[web.StreamResponse]]

FULL = Failure(503, Unavailable.code, "The server has as many connections as it can serve; close some, or come again.")


class Door(Protocol):
    """What accepts connections until it is closed."""

    def close(self) -> None: ...


class Doors:
    """Several that are closed as one."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = doors

    def close(self) -> None:
        """Accept no more at any of them."""
        for door in self._doors:
            door.close()


class Front:
    """A factory of connections, as ``loop.create_server`` calls it.

    Args:
        server: What answers the requests.
        health: What still answers when all connections are taken.
        base_path: The prefix of every route.
        max_connections: How many connections there may be.
        patience: How long a client may take.
        rooms: Of heads that come, and of what waits to be read by clients.
        metrics: Where connections are counted.
        supervisor: Keeps alive what accepts them.
    """

    def __init__(
        self,
        server: web.Server,
        health: Health,
        base_path: str,
        *,
        max_connections: int,
        patience: Patience,
        rooms: Rooms | None = None,
        metrics: ConnectionMetrics | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        server.request_handler = _expecting(server.request_handler)
        self._server = server
        self._answers: dict[str, Callable[[Any], Awaitable[web.Response]]] = {
            f"{base_path}/healthz": health.alive,
            f"{base_path}/readyz": health.ready,
        }
        self._reserve = web.Server(self._answer_full)
        self._max_connections = max_connections
        self._patience = patience
        self._rooms = rooms or Rooms.of(Settings())
        self._metrics = metrics or ConnectionMetrics()
        self._supervisor = supervisor or Supervisor()
        self._full, self._crowded_out = self._metrics.refused("full"), self._metrics.refused("crowded_out")
        self._idle = self._metrics.refused("idle")
        self._open: dict[Connection, None] = {}  # those at which was looked last at the end
        self._reserved: dict[Connection, None] = {}  # in the order in which they were made
        self._metrics.watch("open", lambda: len(self._open), max_connections)
        self._metrics.watch("reserved", lambda: len(self._reserved), RESERVED)

    def __call__(self) -> asyncio.Protocol:
        """Return what a new connection is until it is made."""
        return _Arrival(self._take_in)

    async def listen(self, listening: Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> Door:
        """Serve what connects to sockets, over TLS where its context is given."""
        if tls is None:
            loop = asyncio.get_running_loop()
            return Doors([await loop.create_server(self, sock=each, backlog=BACKLOG) for each in listening])
        limit_s = self._patience.header_timeout_s
        handshakes = Handshakes(listening, tls, self, limit_s=limit_s, metrics=self._metrics)
        handshakes.start(self._supervisor)
        return handshakes

    def requests(self) -> Iterator[web.BaseRequest]:
        """Yield the requests that are being answered."""
        for connection in self._open:
            if (request := connection.request) is not None:
                yield request

    def end_soon(self) -> None:
        """Have clients send no further request on a connection on which an answer is due, and that is to be closed."""
        for connection in self._open:
            connection.end_soon()

    async def finish(self, limit_s: float) -> None:
        """Wait so long for what is being answered, and end the connections of the rest."""
        for _ in range(math.ceil(limit_s / LOOK_S)):
            if next(self.requests(), None) is None:
                return
            await asyncio.sleep(LOOK_S)
        for connection in list(self._open):
            if connection.request is not None:
                connection.abort()

    async def close(self) -> None:
        """Close the reserved connections; the others are the server's to close."""
        self._reserve.pre_shutdown()
        await self._reserve.shutdown(0)

    def _take_in(self) -> Connection:
        """Return what serves a connection that is made."""
        if len(self._open) < self._max_connections or self._end_idle():
            connection = self._connect(self._server, self._end_open)
            self._open[connection] = None
            return connection
        if len(self._reserved) >= RESERVED:
            oldest = next(iter(self._reserved))
            del self._reserved[oldest]
            self._crowded_out.value += 1
            oldest.abort()
        connection = self._connect(self._reserve, self._end_reserved)
        self._reserved[connection] = None
        return connection

    def _end_idle(self) -> bool:
        """End a connection whose client has asked nothing for a while, and will make another one when it does."""
        for connection in list(itertools.islice(self._open, MOST_LOOKED_AT)):
            del self._open[connection]
            if connection.idle_s() > IDLE_S:
                self._idle.value += 1
                connection.abort()
                return True
            self._open[connection] = None
        return False

    def _end_open(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def _end_reserved(self, connection: Connection) -> None:
        self._reserved.pop(connection, None)

    def _connect(self, server: web.Server, on_end: Callable[[Connection], None]) -> Connection:
        return Connection(
            server,
            patience=self._patience,
            on_end=on_end,
            rooms=self._rooms,
            metrics=self._metrics,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
        )

    async def _answer_full(self, request: web.BaseRequest) -> web.StreamResponse:
        require_version(request)
        answer = self._answers.get(request.path.rstrip("/")) if request.method in ("GET", "HEAD") else None
        request_id = secrets.token_hex(8)
        self._full.value += answer is None
        response: web.Response = failure_response(FULL, request_id) if answer is None else await answer(request)
        response.headers["X-Request-ID"] = request_id
        response.headers["Server"] = "modelserve"
        response.force_close()
        return response


def _expecting(handler: Handler) -> Handler:
    """Have a request to no route refused in our words, where it has an expectation other than ``100-continue``.

    aiohttp refuses that before any middleware, with a text that repeats it, and fails where the text is none.
    """

    async def refuse_unknown(request: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPExpectationFailed, UnicodeEncodeError) as error:
            raise BadRequest("The expectation of the request is unknown; leave out the header Expect.") from error

    def answer(request: Any) -> Awaitable[web.StreamResponse]:  # plain: this is part of the hot path
        return refuse_unknown(request) if hdrs.EXPECT in request.headers else handler(request)

    return answer


class _Arrival(asyncio.Protocol):
    """A connection that is not made yet, and may never be: over TLS it has a handshake before it."""

    def __init__(self, take_in: Callable[[], Connection]) -> None:
        self._take_in = take_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = self._take_in()
        if transport.get_extra_info("sslcontext") is not None:
            Paced(cast(asyncio.Transport, transport), connection).begin()
            return
        transport.set_protocol(connection)
        connection.connection_made(transport)
