"""Gives a connection over TLS no more than its client reads: the rest waits here, where it is seen.

    write -> [what waits] -> a piece at a time -> the loop's own transport, which encrypts it -> socket

The loop encrypts all that it is given at once and passes it to the socket, however much waits there already, and says
only of what it is given after that that it waits. So an answer that was written at once waited where nobody saw it: it
was counted nowhere, and a client that read nothing of it was not noticed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

__all__ = ["PIECE_BYTES", "Paced"]

# What is encrypted at a time. Two of them may wait where they are not seen.
PIECE_BYTES = 64 * 1024

# The writer is told to wait above the first, and to go on at the second: those of asyncio for a plain connection.
HIGH_BYTES, LOW_BYTES = 64 * 1024, 16 * 1024

Data = bytes | bytearray | memoryview


class Paced(asyncio.Transport, asyncio.Protocol):
    """The transport of one protocol, on top of the loop's, whose protocol it is.

    Args:
        transport: The loop's, over TLS.
        protocol: Whose transport this is.
    """

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._transport = transport
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[memoryview] = deque()
        self._bytes = 0
        self._is_full = False
        self._is_told = False
        self._is_closing = False
        self._high, self._low = HIGH_BYTES, LOW_BYTES

    def begin(self) -> None:
        """Become the protocol of the loop's transport, which then says of every byte that it cannot pass on."""
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._transport.set_protocol(self)
        self._protocol.connection_made(self)

    def write(self, data: Data) -> None:
        """Pass it on, or as much of it as the client reads."""
        if self._is_closing or not data:
            return
        if len(data) <= PIECE_BYTES and not self._waiting and not self._is_full:
            self._transport.write(data)
            return
        self._waiting.append(memoryview(data))
        self._bytes += len(data)
        self._pass_on()

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        """Write all of them; small ones together."""
        parts = list(list_of_data)
        if sum(map(len, parts)) <= PIECE_BYTES:
            self.write(b"".join(parts))
            return
        for part in parts:
            self.write(part)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for the client, as far as that can be known."""
        return self._bytes + self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the loop's."""
        self._high = high if high is not None else 4 * low if low is not None else HIGH_BYTES
        self._low = low if low is not None else self._high // 4

    def close(self) -> None:
        """Close once all is written."""
        self._is_closing = True
        if not self._waiting:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._is_closing = True
        self._forget()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether nothing more is written."""
        return self._is_closing or self._transport.is_closing()

    def can_write_eof(self) -> bool:
        """There is no such thing over TLS."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the loop's."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """As the loop's."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """As the loop's."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass nothing on until the client has read."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Pass on what waits, outside of what the loop is at."""
        self._is_full = False
        self._loop.call_soon(self._pass_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._forget()
        self._protocol.connection_lost(exc)

    def _pass_on(self) -> None:
        while self._waiting and not self._is_full and not self._transport.is_closing():
            piece = self._waiting[0][:PIECE_BYTES]
            self._waiting[0] = self._waiting[0][PIECE_BYTES:]
            if not self._waiting[0]:
                self._waiting.popleft()
            self._bytes -= len(piece)
            self._transport.write(piece)
        if self._is_closing and not self._waiting:
            self._transport.close()
        self._tell()

    def _tell(self) -> None:
        """Tell the writer to wait, or to go on."""
        size = self.get_write_buffer_size()
        if not self._is_told and size > self._high:
            self._is_told = True
            self._protocol.pause_writing()
        elif self._is_told and size <= self._low:
            self._is_told = False
            self._protocol.resume_writing()

    def _forget(self) -> None:
        self._waiting.clear()
        self._bytes = 0
