"""A streamed answer on the wire: each part at once, back-pressure, clients that leave and models that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from modelserve.messages import Failure, Part
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Streamed
from modelserve.runtime.streams import Stream
from modelserve.web.counting import Counting
from modelserve.web.failures import BrokenAnswer
from modelserve.web.requests import make_surround
from modelserve.web.streams import send_stream

EVENTS, OCTETS = "text/event-stream", "application/octet-stream"
FAILURE = Failure(500, "model_error", "The model failed.", log="Traceback\nValueError: secret")


class Door:
    """A server whose one route sends what a test feeds into a stream."""

    def __init__(self, content_type: str = EVENTS) -> None:
        self.allowed = 0
        self.left = False
        self.ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.stream = Stream(1, self._more, self._leave)
        self._content_type = content_type
        self.port = 0

    def _more(self, parts: int) -> None:
        self.allowed += parts

    def _leave(self) -> None:
        self.left = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = Streamed(1, self._content_type, stream=True)
        answer.parts = self.stream
        try:
            response = await send_stream(request, answer, "toy")
        except BaseException as error:
            self.ended.set_result(error)
            raise
        self.ended.set_result(None)
        return response


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Door], Awaitable[Any]]]:
    """Yield a function that serves a door and returns a connection that has asked for its answer."""
    runners: list[web.AppRunner] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(door: Door, version: str = "1.1") -> Any:
        app = web.Application(middlewares=[make_surround(Counting(Metrics(), (), ""))])
        app.router.add_get("/", door.handle)
        runners.append(web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0))
        await runners[-1].setup()
        site = web.TCPSite(runners[-1], "127.0.0.1", 0)
        await site.start()
        port = runners[-1].addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writers.append(writer)
        writer.write(f"GET / HTTP/{version}\r\nHost: x\r\nX-Request-ID: r-1\r\n\r\n".encode())
        return reader, writer

    yield serve
    for writer in writers:
        writer.close()
    for runner in runners:
        await runner.cleanup()


async def head_of(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()


async def test_each_part_is_sent_as_soon_as_it_is_there_and_the_end_is_told(serve: Any) -> None:
    door = Door()
    reader, _ = await serve(door)
    door.stream.feed(Part(1, b"data: 1\n\n"))
    head = await head_of(reader)
    assert "Content-Type: text/event-stream" in head
    assert "Transfer-Encoding: chunked" in head
    assert "Cache-Control: no-cache" in head
    assert "X-Accel-Buffering: no" in head
    assert "X-Request-ID: r-1" in head
    assert "Server: modelserve" in head
    assert await reader.readexactly(14) == b"9\r\ndata: 1\n\n\r\n"
    door.stream.feed(Part(1, b"data: 2\n\n"))
    assert await reader.readexactly(14) == b"9\r\ndata: 2\n\n\r\n"
    door.stream.feed(Part(1, last=True))
    assert await reader.readexactly(5) == b"0\r\n\r\n"
    assert await door.ended is None
    assert not door.left


async def test_what_is_no_event_stream_may_be_kept_and_buffered(serve: Any) -> None:
    door = Door("application/x-ndjson")
    reader, _ = await serve(door)
    door.stream.feed(Part(1, b"{}\n", last=True))
    assert "Cache-Control" not in await head_of(reader)
    assert await reader.readexactly(13) == b"3\r\n{}\n\r\n0\r\n\r\n"


async def test_a_client_of_http_1_0_gets_no_chunks_and_the_end_of_the_connection(serve: Any) -> None:
    door = Door()
    reader, _ = await serve(door, "1.0")
    door.stream.feed(Part(1, b"data: 1\n\n", last=True))
    assert "chunked" not in await head_of(reader)
    assert await reader.read() == b"data: 1\n\n"


async def test_a_failure_on_the_way_is_sent_as_the_worker_put_it_and_the_answer_has_no_end(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door()
    reader, _ = await serve(door)
    door.stream.feed(Part(1, b"data: 1\n\n"))
    door.stream.feed(Part(1, b"event: error\n\n", last=True, failure=FAILURE))
    await head_of(reader)
    rest = await reader.read()  # to the end of the connection
    assert rest == b"9\r\ndata: 1\n\n\r\ne\r\nevent: error\n\n\r\n"
    error = await door.ended
    assert isinstance(error, BrokenAnswer)
    assert error.status == 500
    assert "model_error: ValueError: secret" in caplog.text
    assert [record.levelname for record in caplog.records].count("ERROR") == 1, "it is logged once"
    assert b"secret" not in rest


@pytest.mark.parametrize(
    ("content_type", "said"),
    [(EVENTS, b'event: error\ndata: {"message":"The model failed.","code":"model_error"}\n\n'), (OCTETS, b"")],
)
async def test_a_failure_that_no_worker_could_tell_of_is_told_here_where_there_is_a_place_for_it(
    serve: Any, content_type: str, said: bytes
) -> None:
    door = Door(content_type)
    reader, _ = await serve(door)
    door.stream.feed(Part(1, b"data: 1\n\n"))
    door.stream.fail(FAILURE)
    await head_of(reader)
    rest = await reader.read()
    assert rest == b"9\r\ndata: 1\n\n\r\n" + (b"%x\r\n%b\r\n" % (len(said), said) if said else b"")


async def test_a_client_that_leaves_while_nothing_comes_closes_the_stream_within_a_second(serve: Any) -> None:
    door = Door()
    reader, writer = await serve(door)
    door.stream.feed(Part(1, b"data: 1\n\n"))
    await head_of(reader)
    writer.transport.abort()
    async with asyncio.timeout(1):
        assert isinstance(await door.ended, asyncio.CancelledError)
    assert door.left


async def test_a_client_that_leaves_while_a_part_is_written_is_no_error_of_ours(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(OCTETS)
    for _ in range(16):
        door.stream.feed(Part(1, b"x" * 4_000_000))
    reader, writer = await serve(door)
    await head_of(reader)
    writer.transport.abort()
    async with asyncio.timeout(1):
        assert isinstance(await door.ended, asyncio.CancelledError | ConnectionError)
    assert door.left
    assert not caplog.records


async def test_a_client_that_does_not_read_holds_the_worker_back(serve: Any) -> None:
    door = Door(OCTETS)
    for _ in range(16):
        door.stream.feed(Part(1, b"x" * 4_000_000))
    reader, _ = await serve(door)
    await head_of(reader)
    assert door.allowed == 0, "one part is more than the system's buffers hold"
    got = 0
    while got < 64_000_000:
        got += len(await reader.read(1 << 20))
    assert door.allowed == 64, "a part counts once more for each MiB"
    door.stream.feed(Part(1, last=True))
    async with asyncio.timeout(10):
        assert await door.ended is None
