"""Clients that have said all they will, and clients that have left: both send the same."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
import uvloop
from aiohttp import web

from modelserve.access.roll import Roll
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.connection import Patience
from modelserve.web.front import Front
from modelserve.web.half_closed import INTERIM
from modelserve.web.health import Health


class Site:
    """A server whose ``/slow`` is answered once that is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0
        self.left = asyncio.Event()
        self.port = 0

    async def echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def slow(self, request: web.Request) -> web.Response:
        self.running += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        finally:
            self.running -= 1
        return web.Response(text="slow")

    async def large(self, request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (8 << 20))

    async def has(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.running != count:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    site = Site()
    app, metrics = web.Application(), Metrics()
    app.add_routes([web.post("/echo", site.echo), web.get("/slow", site.slow), web.get("/large", site.large)])
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    assert runner.server is not None
    health = Health(Fleet([], Settings(), metrics), metrics, Roll())
    front = Front(runner.server, health, "", max_connections=20, patience=Patience(20, 20))
    listening = socket.create_server(("127.0.0.1", 0))
    door = await front.listen([listening])
    site.port = listening.getsockname()[1]
    try:
        yield site
    finally:
        door.close()
        await front.close()
        await runner.cleanup()


ECHO = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


async def all_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on(loop: str, test: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(test)


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (ECHO, 1),
        (ECHO + ECHO + ECHO, 3),
        (ECHO + ECHO[:-2], 1),  # what came whole
        (ECHO[:-2], 0),
        (ECHO[:20], 0),
        (b"", 0),
        (b"no HTTP at all\r\n\r\n", 1),
        (LARGE, 1),
    ],
)
@pytest.mark.parametrize("loop", LOOPS)
def test_what_was_asked_whole_is_answered_and_then_the_connection_is_closed(
    sent: bytes, statuses: int, loop: str
) -> None:
    """X16."""
    on(loop, _half_close(sent, statuses))


async def _half_close(sent: bytes, statuses: int) -> None:
    async with serving() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(sent)
        writer.write_eof()
        answer = await all_of(reader)
        assert answer.count(b"HTTP/1.") == statuses
        assert answer.endswith(b"x" * (8 << 20) if sent == LARGE else b"hello") or sent not in (ECHO, LARGE)
        writer.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_slow_answer_comes_too_with_an_interim_one_before_it(loop: str) -> None:
    """X16."""
    on(loop, _wait_long())


async def _wait_long() -> None:
    async with serving() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(SLOW + ECHO)
        writer.write_eof()
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == INTERIM
        assert not site.left.is_set()
        site.go.set()
        answer = await all_of(reader)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.count(b"HTTP/1.1 200") == 2
        assert answer.endswith(b"hello")
        writer.close()


@pytest.mark.parametrize("how", ["politely", "by a reset", "by a reset later"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_has_left_is_noticed(how: str, loop: str) -> None:
    """X16. It is not there to read: what it asked is cancelled."""
    on(loop, _leave(how))


async def _leave(how: str) -> None:
    async with serving() as site:
        client = socket.create_connection(("127.0.0.1", site.port))
        client.sendall(SLOW)
        await site.has(1)
        if how == "by a reset later":
            client.shutdown(socket.SHUT_WR)
        if how != "politely":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await asyncio.wait_for(site.left.wait(), 20)
        await site.has(0)
