"""Takes connections over TLS: each shakes hands first, apart from all others and for a limited time.

    accept -> at most HANDSHAKES under way, the oldest given up for a newer one -> made: the front's -> failed: nothing

A client that says nothing, that does not trust the certificate or that speaks no TLS has no connection and takes the
place of none. The oldest is given up rather than the newest refused, since an honest handshake is over in a few
journeys of its packets, and one that is held open on purpose is always among the oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from modelserve.metrics.connections import ConnectionMetrics
from modelserve.supervised import Supervisor

__all__ = ["HANDSHAKES", "Handshakes"]

logger = logging.getLogger(__name__)

# Handshakes under way at the same time: at 0.1 s each, over a thousand new connections a second.
HANDSHAKES = 128

# How long a handshake may take where nothing else is said: as uvloop and nginx have it.
HANDSHAKE_S = 60.0

# How long the end of a connection may take, as the loop has it: whoever reads nothing is ended by slow_reader.py.
SHUTDOWN_S = 86_400.0

# How long nothing is accepted when no file can be opened.
PAUSE_S = 0.5

# What accepting says when files or memory have run out; anything else is about the one connection.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Handshakes:
    """Accepts on sockets and shakes hands, from :meth:`start` to :meth:`close`.

    Args:
        listening: Where.
        tls: With which certificate.
        factory: Makes what serves a connection; it is told of the connection once that is made.
        limit_s: How long a handshake may take, 0 for a minute.
        metrics: Where they are counted.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        tls: ssl.SSLContext,
        factory: Callable[[], asyncio.Protocol],
        *,
        limit_s: float,
        metrics: ConnectionMetrics,
    ) -> None:
        self._listening = listening
        self._tls = tls
        self._factory = factory
        self._limit_s = limit_s or HANDSHAKE_S
        self._failed = metrics.refused("handshake_failed")
        self._crowded_out = metrics.refused("handshake_crowded_out")
        self._under_way: dict[asyncio.Task[None], None] = {}  # in the order in which they began
        self._accepting: list[asyncio.Task[None]] = []
        metrics.watch("handshake", lambda: len(self._under_way), HANDSHAKES)

    def start(self, supervisor: Supervisor) -> None:
        """Begin to accept, in tasks that are kept alive."""
        for listening in self._listening:
            listening.setblocking(False)
            self._accepting.append(supervisor.task("handshakes", functools.partial(self._accept, listening)))

    def close(self) -> None:
        """Accept no more, and give up what is under way."""
        for task in (*self._accepting, *self._under_way):
            task.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    logger.debug("no connection can be accepted: %s", error)
                    await asyncio.sleep(PAUSE_S)
                continue
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if len(self._under_way) >= HANDSHAKES:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            self._crowded_out.value += 1
            oldest.cancel()
        task = asyncio.create_task(self._shake(connection))
        self._under_way[task] = None
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)

    async def _shake(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._limit_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError as error:  # also of ssl, and for one that took too long
            self._failed.value += 1
            logger.debug("a handshake failed: %s", error)
            with contextlib.suppress(OSError):
                connection.close()
