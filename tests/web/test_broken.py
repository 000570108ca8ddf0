"""Whatever fails once an answer has begun, no second one stands inside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from modelserve.errors import StoreUnavailable
from modelserve.metrics import Metrics
from modelserve.web.counting import Counting
from modelserve.web.direct import DirectResponse
from modelserve.web.events import EventResponse
from modelserve.web.requests import make_surround

HEAD = "GET %s HTTP/%s\r\nHost: localhost\r\n\r\n"
BEHIND = HEAD % ("/fine", "1.1")


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"some")
    raise ValueError("after the head")


async def only_head(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "10"})
    await response.prepare(request)
    raise OSError("the disk has failed")


async def events(request: web.Request) -> web.StreamResponse:
    answer = EventResponse(request)
    await answer.begin()
    await answer.send("status", {})
    raise StoreUnavailable("The store does not answer.")


async def direct(request: web.Request) -> web.StreamResponse:
    await DirectResponse(request).send(b"{}", "id")
    raise web.HTTPNotFound


async def redirected(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"some")
    raise web.HTTPFound("/elsewhere")


async def fine(request: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


FAILING: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    each.__name__: each for each in (stream, only_head, events, direct, redirected)
}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    counting = Counting(Metrics(), [], "")
    app = web.Application(middlewares=[make_surround(counting)])
    app.add_routes([web.get(f"/{name}", handler) for name, handler in FAILING.items()])
    app.add_routes([web.get("/fine", fine)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def ask(port: int, request: str) -> bytes:
    """Return all that comes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    received = b""
    try:
        writer.write(request.encode())
        async with asyncio.timeout(20):
            while data := await reader.read(1 << 20):
                received += data
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return received


@pytest.mark.parametrize("name", FAILING)
async def test_what_fails_behind_the_head_ends_the_connection_and_adds_nothing(port: int, name: str) -> None:
    """Y9."""
    answer = await ask(port, HEAD % (f"/{name}", "1.1") + BEHIND)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not answer.endswith(b"0\r\n\r\n")
    assert b"fine" not in answer


async def test_a_client_of_http_1_0_cannot_take_it_for_a_whole_answer(port: int) -> None:
    """Y9. There, the end of the connection is the end of the answer, so it is reset."""
    with pytest.raises(ConnectionResetError):
        await ask(port, HEAD % ("/stream", "1.0"))
