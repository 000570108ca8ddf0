"""Answers from disk: whole, cut or slowly read, and the connections afterwards; on uvloop, as in the server, too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from modelserve.errors import BadAnswer
from modelserve.messages import Answer, FileAnswer
from modelserve.metrics import Metrics
from modelserve.web import files
from modelserve.web.counting import Counting
from modelserve.web.failures import BrokenAnswer
from modelserve.web.files import send_file, with_file_threads
from modelserve.web.requests import make_surround

BINARY = "application/octet-stream"
LARGE = 32 * files.PIECE_BYTES

Body = Callable[["Door", asyncio.StreamReader, asyncio.StreamWriter], Any]


class Door:
    """A server whose one route sends a file."""

    def __init__(self, path: Path, *, delete: bool = False) -> None:
        self.path = path
        self.delete = delete
        self.errors: list[BaseException] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = Answer(1, BINARY)
        try:
            return await send_file(request, answer, FileAnswer(str(self.path), 0, delete=self.delete), "r-1")
        except BaseException as error:
            self.errors.append(error)
            raise

    async def connected(self, body: Body) -> None:
        app = web.Application(middlewares=[make_surround(Counting(Metrics(), (), ""))])
        with_file_threads(app)
        app.router.add_route("*", "/", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
            try:
                await body(self, reader, writer)
            finally:
                writer.transport.abort()
        finally:
            await runner.cleanup()


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def visit(request: pytest.FixtureRequest) -> Callable[[Door, Body], None]:
    """Return a function that serves a door and has a visitor at it, on each kind of event loop."""
    with asyncio.Runner(loop_factory=request.param) as first:  # it opens what the process keeps
        first.run(asyncio.sleep(0))

    def visit(door: Door, body: Body) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(door.connected(body), 20))

    return visit


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1024) * (LARGE // 1024))
    return path


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str = "GET") -> int:
    """Send a request, read the head of its response and return the length that it tells."""
    writer.write(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200"), head
    return int(head.split("Content-Length: ")[1].split("\r\n")[0])


async def eventually(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0.01)


def test_a_file_is_sent_whole_and_the_connection_is_used_again(visit: Any, large: Path) -> None:
    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            length = await ask(reader, writer)
            assert length == LARGE
            assert await reader.readexactly(length) == large.read_bytes()
        assert door.errors == []

    visit(Door(large), body)


def test_requests_sent_ahead_are_answered_in_turn(visit: Any, tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"small")

    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(5) == b"small"

    visit(Door(path), body)


def test_an_empty_file_is_an_empty_answer_and_is_removed(visit: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()

    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await ask(reader, writer) == 0
        await eventually(lambda: not path.exists())

    visit(Door(path, delete=True), body)


def test_a_file_that_becomes_shorter_ends_the_connection(
    visit: Any, large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = await ask(reader, writer)
        os.truncate(large, 1000)
        assert len(await reader.read(-1)) < length
        (error,) = door.errors
        assert isinstance(error, BrokenAnswer)
        assert error.status == 500
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [f"bad_answer: {error}"]

    visit(Door(large), body)


def test_a_client_that_does_not_read_holds_no_thread(visit: Any, large: Path) -> None:
    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with ThreadPoolExecutor(1) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            length = await ask(reader, writer)
            assert await asyncio.to_thread(len, "free") == 4, "the only thread is free, although nothing is read"
            assert len(await reader.readexactly(length)) == LARGE

    visit(Door(large), body)


def test_a_client_that_leaves_leaves_no_descriptor_and_no_file(visit: Any, large: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ask(reader, writer)
        writer.transport.abort()
        await eventually(lambda: door.errors)
        assert isinstance(door.errors[0], asyncio.CancelledError | ConnectionError)
        await eventually(lambda: not large.exists())

    visit(Door(large, delete=True), body)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "pipe"])
def test_what_is_no_regular_file_is_not_sent(visit: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "path"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)

    async def body(door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 500")
        assert isinstance(door.errors[0], BadAnswer)

    visit(Door(path), body)
