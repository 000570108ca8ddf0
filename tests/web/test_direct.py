"""Answers that are written straight to the connection, read off a raw socket as a client would see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelserve.web.direct import DirectResponse, header_lines, is_direct

SIZES = {"/small": 7, "/large": 3_000_000}

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer(request: web.Request) -> web.StreamResponse:
    body = b"x" * SIZES[request.path]
    if is_direct(request):
        return await DirectResponse(request).send(body, "id-1")
    return web.Response(body=body)


@pytest_asyncio.fixture
async def connection() -> AsyncIterator[Connection]:
    """A connection to a server that answers directly where it may."""
    app = web.Application()
    app.router.add_route("*", "/{any}", answer)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        yield reader, writer
        writer.close()


async def ask(connection: Connection, request: str) -> tuple[str, bytes]:
    """Send a request; return the head of its answer and the body."""
    reader, writer = connection
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("Content-Length"))
    return head, await reader.readexactly(0 if request.startswith("HEAD") else length)


@pytest.mark.parametrize("path", SIZES)
async def test_one_connection_carries_answer_after_answer(connection: Connection, path: str) -> None:
    for _ in range(3):
        head, body = await ask(connection, f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}")
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert len(body) == SIZES[path]
    names = [line.partition(":")[0] for line in head.splitlines()[1:] if line]
    about = ["Content-Type", "X-Content-Type-Options"]
    assert names == [*about, "Content-Length", "X-Request-ID", "Date", "Server"]
    assert "X-Request-ID: id-1\r\n" in head


async def test_what_a_web_page_asks_is_not_answered_directly(connection: Connection) -> None:
    """L03: its answer may need headers of its own."""
    head, _ = await ask(connection, "GET /small HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n")
    assert "X-Request-ID: id-1" not in head


async def test_a_client_that_wants_the_connection_closed_is_told_so_and_it_closes(connection: Connection) -> None:
    head, body = await ask(connection, "GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert "Connection: close\r\n" in head
    assert body == b"x" * 7
    assert await connection[0].read() == b""


async def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    connection[1].write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
    _, body = await ask(connection, "GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(body) == SIZES["/large"]
    head = (await connection[0].readuntil(b"\r\n\r\n")).decode()
    assert "Content-Length: 7\r\n" in head


@pytest.mark.parametrize("request_line", ["GET /small HTTP/1.0", "HEAD /small HTTP/1.1"])
async def test_an_old_client_and_a_head_get_the_ordinary_response(connection: Connection, request_line: str) -> None:
    head, _ = await ask(connection, f"{request_line}\r\nHost: h\r\n\r\n")
    assert "X-Request-ID" not in head


def test_headers_become_lines_and_none_of_them_two() -> None:
    assert header_lines({"Content-Type": "image/png", "X-A": "é"}) == "Content-Type: image/png\r\nX-A: é\r\n"
    with pytest.raises(ValueError, match="line break"):
        header_lines({"Content-Type": "image/png\r\nX-Injected: 1"})
