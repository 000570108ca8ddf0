"""Tells a client that has only closed its sending half, and waits for its answer, from one that has left.

Both send the same: that nothing more will come. What was asked whole is answered to either; the one that has left is
found out by what its system says to the next bytes that it gets, which is that nobody is there any more. So where an
answer takes long, an interim one is sent, which clients of HTTP/1.1 pass over:
https://www.rfc-editor.org/rfc/rfc9110#section-15.2
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

__all__ = ["HalfClosed"]

# How often it is looked whether the client's system has said that nobody is there.
LOOK_S = 0.25

# An answer is awaited for so long before the client gets an interim one, and so long again before the next.
FIRST_S = 2.0
NEXT_S = 15.0

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"

# The states of TCP in which there is no connection any more, as linux/tcp_states.h has them.
CLOSED = 7


class HalfClosed:
    """Watches one connection whose client sends nothing more, from its making until :meth:`stop`.

    Args:
        transport: The connection.
        may_send: Tells whether an interim answer may be sent now: nothing of another must be on its way.
    """

    def __init__(self, transport: asyncio.Transport, may_send: Callable[[], bool]) -> None:
        self._transport = transport
        self._may_send = may_send
        self._loop = asyncio.get_running_loop()
        self._next_s = self._loop.time() + FIRST_S
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        if _is_closed(self._transport):
            self._transport.abort()
            return
        if self._loop.time() >= self._next_s and self._may_send():
            self._transport.write(INTERIM)
            self._next_s = self._loop.time() + NEXT_S
        self._timer = self._loop.call_later(LOOK_S, self._look)


def _is_closed(transport: asyncio.Transport) -> bool:
    """Tell whether the client has reset the connection; the loop does not look where it reads nothing."""
    connection = transport.get_extra_info("socket")
    if connection.family == socket.AF_UNIX:  # it has no such state; whoever writes to it learns that nobody is there
        return False
    try:
        state: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return True
    return state[0] == CLOSED
