"""Ends a connection whose client reads nothing of what waits for it, and counts what waits.

more waits than the transport takes -> watch      less than it takes -> release
the connection is to be closed behind what waits -> see_off
"""

from __future__ import annotations

import asyncio
import logging

from modelserve.stalls import Delay, Stalls
from modelserve.web.rooms import Guest, Room
from modelserve.web.unread import waiting_bytes

__all__ = ["LOOK_S", "SlowReader"]

logger = logging.getLogger(__name__)

# How often it is looked whether a client reads on: well within the second in which a room tells who is slow.
LOOK_S = 0.25


class SlowReader:
    """The client of one connection, as a reader.

    Args:
        sending: The room of what waits to be read by clients.
        limit_s: How long it may read nothing; 0 is any time.
        stalls: Tells how long the server stood still, which is not the client's.
    """

    __slots__ = ("_answer", "_guest", "_last_look", "_limit_s", "_look", "_sending", "_stalls")

    def __init__(self, sending: Room, limit_s: float, stalls: Stalls) -> None:
        self._sending = sending
        self._limit_s = limit_s
        self._stalls = stalls
        self._answer: Guest | None = None
        self._guest: Guest | None = None
        self._look: Delay | None = None
        self._last_look: Delay | None = None

    def count_as(self, answer: Guest | None) -> None:
        """Have what waits from now on be a part of an answer that counts as a whole; None for no longer."""
        self._answer = answer

    def watch(self, transport: asyncio.Transport) -> None:
        """Look from now on whether it reads on; what waits counts, where it is no part of what counts already."""
        guest = self._answer
        if guest is None:
            guest = self._guest = self._sending.guest(transport.abort)
            guest.add(transport.get_write_buffer_size())
        self._look_soon(transport, guest, waiting_bytes(transport), 0.0)

    def release(self) -> None:
        """Look no more: it has read on."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def see_off(self, transport: asyncio.Transport) -> None:
        """End the connection, which is to be closed, once its client has read all, or reads nothing more.

        Over TLS it would wait for the client to agree to the end, however little it cares.
        """
        self._see_off_soon(transport, waiting_bytes(transport), 0.0)

    def stop(self) -> None:
        """The connection is over."""
        self.release()
        if self._last_look is not None:
            self._last_look.cancel()

    def _look_soon(self, transport: asyncio.Transport, guest: Guest, waits: int, silent_s: float) -> None:
        look_s = min((self._limit_s or LOOK_S) - silent_s, LOOK_S)
        self._look = self._stalls.call_later(look_s, self._look_at, transport, guest, waits, silent_s + look_s)

    def _look_at(self, transport: asyncio.Transport, guest: Guest, waited: int, silent_s: float) -> None:
        waits = waiting_bytes(transport)
        if waits < waited:
            guest.move(waited - waits)
            silent_s = 0.0
        elif self._is_too_slow(silent_s):
            transport.abort()
            return
        self._look_soon(transport, guest, waits, silent_s if self._limit_s else 0.0)

    def _see_off_soon(self, transport: asyncio.Transport, waits: int, silent_s: float) -> None:
        look_s = min((self._limit_s or LOOK_S) - silent_s, LOOK_S)
        self._last_look = self._stalls.call_later(look_s, self._see_off, transport, waits, silent_s + look_s)

    def _see_off(self, transport: asyncio.Transport, waited: int, silent_s: float) -> None:
        waits = waiting_bytes(transport)
        silent_s = 0.0 if waits < waited else silent_s
        if not waits or self._is_too_slow(silent_s):
            transport.abort()
        else:
            self._see_off_soon(transport, waits, silent_s if self._limit_s else 0.0)

    def _is_too_slow(self, silent_s: float) -> bool:
        if not self._limit_s or silent_s < self._limit_s:
            return False
        logger.debug("a client read nothing of an answer for %g seconds", self._limit_s)
        return True
