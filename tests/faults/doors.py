"""Many connections side by side that send bytes in pieces, each piece only once the server has read the one before.

    plans --> play(door, plans) --> what came back on each connection

That a piece was read is known without waiting: between two pieces another connection asks whether the server is alive,
and a loop that answers that has seen before what lay ready before.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

__all__ = ["SIDE_BY_SIDE", "Door", "End", "Heard", "Plan", "batched", "play"]

# So many connections at once.
SIDE_BY_SIDE = 100

# A server closes what it cannot read within its own limits, of some seconds.
QUIET_S = 30.0

_NOW = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


T = TypeVar("T")


class End(enum.Enum):
    """What becomes of a connection behind the last piece."""

    # Nothing: the server is to answer and to close.
    OPEN = enum.auto()
    # No more comes, but what the server says is read.
    HALF = enum.auto()
    # Both directions are closed.
    CLOSED = enum.auto()
    # A reset, as from a machine that has crashed.
    RESET = enum.auto()


class Plan(NamedTuple):
    """What is sent over one connection."""

    pieces: Sequence[bytes]
    end: End = End.OPEN

    @property
    def sent(self) -> bytes:
        """All bytes."""
        return b"".join(self.pieces)


class Heard(NamedTuple):
    """What came back, and whether the connection had been closed by the server by then."""

    received: bytes
    is_ended: bool


@dataclass(frozen=True)
class Door:
    """Where a server listens: a port of this machine, in TLS or not, or a socket's path."""

    port: int = 0
    path: Path | None = None
    tls: ssl.SSLContext | None = None

    async def open(self, *, bare: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; in TLS only where ``bare`` is false."""
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path)
        context = None if bare else self.tls
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return reader, writer

    async def beat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask the server whether it is alive, over a connection that stays."""
        path = b"/healthz" if self.path is None else b"/nosuch"
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), QUIET_S)
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(lengths[0].partition(b":")[2]))


def batched(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items so many at a time as go over connections side by side."""
    return (items[start : start + SIDE_BY_SIDE] for start in range(0, len(items), SIDE_BY_SIDE))


async def play(door: Door, plans: Sequence[Plan]) -> list[Heard]:
    """Carry out all plans at once, and return what came back, in their order."""
    async with contextlib.AsyncExitStack() as stack:
        heart = await stack.enter_async_context(_opened(door, bare=False))
        connections = [await stack.enter_async_context(_opened(door)) for _ in plans]
        for turn in range(max(len(plan.pieces) for plan in plans)):
            for plan, (_, writer) in zip(plans, connections, strict=True):
                if turn < len(plan.pieces) and not writer.is_closing():
                    writer.write(plan.pieces[turn])
            await door.beat(*heart)
        for plan, (_, writer) in zip(plans, connections, strict=True):
            _end(writer, plan.end)
        reading = [_read(plan, reader) for plan, (reader, _) in zip(plans, connections, strict=True)]
        return list(await asyncio.gather(*reading))


@contextlib.asynccontextmanager
async def _opened(door: Door, *, bare: bool = True) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await door.open(bare=bare)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _end(writer: asyncio.StreamWriter, end: End) -> None:
    if writer.is_closing():
        return
    if end is End.HALF:
        with contextlib.suppress(OSError):  # the server was quicker
            writer.write_eof()
    elif end is End.CLOSED:
        writer.close()
    elif end is End.RESET:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        writer.transport.abort()


async def _read(plan: Plan, reader: asyncio.StreamReader) -> Heard:
    if plan.end in (End.CLOSED, End.RESET):
        return Heard(b"", is_ended=True)
    received = bytearray()
    try:
        async with asyncio.timeout(QUIET_S):
            while piece := await reader.read(1 << 20):
                received += piece
    except TimeoutError:
        return Heard(bytes(received), is_ended=False)
    except ConnectionError:  # closed while something was still unread by the server
        pass
    return Heard(bytes(received), is_ended=True)
