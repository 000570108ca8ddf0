"""Connections beyond those that a server can serve."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from modelserve.access.roll import Roll
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.connection import Patience
from modelserve.web.front import RESERVED, Front
from modelserve.web.health import Health

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def serving(most: int, header_timeout_s: float = 0) -> AsyncIterator[int]:
    """Serve a bare application, and yield its port."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app, metrics = web.Application(), Metrics()
    app.add_routes([web.get("/lab/", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    health = Health(Fleet([], Settings(), metrics), metrics, Roll())
    front = Front(runner.server, health, "/lab", max_connections=most, patience=Patience(header_timeout_s, 0))
    listening = socket.create_server(("127.0.0.1", 0))
    site = await front.listen([listening])
    try:
        yield listening.getsockname()[1]
    finally:
        site.close()
        await front.close()
        await runner.cleanup()


async def connect(port: int) -> Ends:
    return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 20)


async def ask(ends: Ends, path: str) -> int:
    """Return the status of the answer, 0 where the connection was closed."""
    reader, writer = ends
    with contextlib.suppress(ConnectionError):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) if not reader.at_eof() else b""
        return int(head.split()[1]) if head else 0
    return 0


@pytest.mark.parametrize(
    ("path", "status"), [("/lab/healthz", 200), ("/lab/readyz/", 503), ("/lab/", 503), ("/healthz", 503)]
)
async def test_a_full_server_tells_only_whether_it_lives(path: str, status: int) -> None:
    """E08."""
    async with serving(1) as port:
        first, second = await connect(port), await connect(port)
        assert await ask(first, "/lab/") == 200
        assert await ask(second, path) == status
        for _, writer in (first, second):
            writer.close()


async def test_beyond_the_reserved_room_the_oldest_of_it_is_closed_for_a_newer_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """E08. So nobody who only keeps connections open keeps out who asks whether the server lives."""
    async with serving(2) as port:
        kept = [await connect(port) for _ in range(2 + RESERVED)]
        assert await ask(kept[0], "/lab/") == 200
        newest = await connect(port)
        assert await ask(newest, "/lab/healthz") == 200
        assert await asyncio.wait_for(kept[2][0].read(), 20) == b""
        assert await ask(kept[1], "/lab/") == 200
        assert await ask(kept[3], "/lab/healthz") == 200
        for _, writer in [*kept, newest]:
            writer.close()
    assert not caplog.records


async def test_a_connection_that_ends_makes_room() -> None:
    """E08."""
    async with serving(1) as port:
        for _ in range(3):
            reader, writer = await connect(port)
            writer.write(b"GET /lab/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_without_a_limit_a_head_may_take_any_time() -> None:
    async with serving(1) as port:
        reader, writer = await connect(port)
        writer.write(b"GET /lab/ HTTP/1.1\r\n")
        await writer.drain()
        writer.write(b"Host: localhost\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 200")
        writer.close()
