"""Sends an answer that is a file on disk: the kernel copies it into the socket, and it never passes through Python.

    path -> open, checked -> head of the response -> sendfile, piece by piece, on a thread

Each piece is sent on one of a few threads that do nothing else, since the disk may be slow, and into a socket that
never blocks, so that a client that reads slowly holds no thread: what waits for it is the event loop. uvloop has no
``loop.sendfile``, so this goes round the transport, on a copy of its descriptor, once the transport has nothing left to
write. Over TLS the file is read and written piece by piece instead, since the transport encrypts it.

The file is opened without following links and without waiting, and must be a regular file, since its path comes from
the model; see regular_files.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from modelserve.errors import BadAnswer
from modelserve.file_threads import FileThreads
from modelserve.messages import Answer, FileAnswer
from modelserve.regular_files import open_regular, opened
from modelserve.stalls import Stalls
from modelserve.web.connection import stall_timeout_s, stalls_of
from modelserve.web.failures import BrokenAnswer
from modelserve.web.responses import begun_response
from modelserve.web.slow_reader import LOOK_S
from modelserve.web.unread import held_by_system

__all__ = ["LOOKING", "PIECE_BYTES", "REMOVING", "remove", "send_file", "send_open", "with_file_threads"]

logger = logging.getLogger(__name__)

# How much one call of sendfile may copy: enough that the way to the thread and back does not show.
PIECE_BYTES = 1024 * 1024

# What an application's files are sent on, what the files of jobs are looked for on, and what those that came with
# requests are removed on: a model may have put any number beside them. More threads would only wait for the same disk.
# No more pieces can wait than there are connections; lists, which may take long, are bounded.
SENDING = web.AppKey("sending", FileThreads)
LOOKING = web.AppKey("looking", FileThreads)
REMOVING = web.AppKey("removing", FileThreads)
SENDING_THREADS, LOOKING_THREADS, LOOKING_WAITING, REMOVING_THREADS = 8, 4, 64, 4


def with_file_threads(app: web.Application) -> None:
    """Give an application threads for work on files, which end with it."""
    app[SENDING] = FileThreads("sending", threads=SENDING_THREADS)
    app[LOOKING] = FileThreads("looking", threads=LOOKING_THREADS, waiting=LOOKING_WAITING)
    app[REMOVING] = FileThreads("removing", threads=REMOVING_THREADS)

    async def close(app: web.Application) -> None:
        app[SENDING].close()
        app[LOOKING].close()
        app[REMOVING].close()

    app.on_cleanup.append(close)


async def send_file(request: web.Request, answer: Answer, file: FileAnswer, request_id: str) -> web.StreamResponse:
    """Send the response to a call whose answer is a file, and return it once it is sent.

    Raises:
        BadAnswer: The file is gone or is no regular file.
        BrokenAnswer: It became shorter, or the disk failed, while it was sent.
        ConnectionError: The client left.
    """
    try:
        with opened(_opened(file.path)) as source:
            return await send_open(request, answer, source, request_id)
    finally:
        remove(file)


async def send_open(
    request: web.Request,
    answer: Answer,
    source: int,
    request_id: str,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    moved: Callable[[int], None] = lambda size: None,
) -> web.StreamResponse:
    """Send the response whose body is an open regular file, and return it once it is sent; the caller closes the file.

    Args:
        request: The call's.
        answer: What kind of answer it is.
        source: The descriptor of the file.
        request_id: The request's.
        headers: Further ones.
        moved: Called with the number of bytes that were sent, each time there are some.

    Raises:
        BrokenAnswer: It became shorter, or the disk failed, while it was sent.
        ConnectionError: The client left.
    """
    size = os.fstat(source).st_size
    response = begun_response(answer, request_id)
    response.headers.update(headers)
    response.content_length = size
    writer = await response.prepare(request)
    assert writer is not None, "a response is prepared once"
    send = _send_encrypted if request.secure else _send
    try:
        await send(request, writer, source, size, moved)
    except BrokenAnswer as error:
        logger.error("%s: %s", BadAnswer.code, error, extra={"request_id": request_id})
        raise
    await response.write_eof()
    return response


def remove(file: FileAnswer) -> None:
    """Delete the file of an answer, where it is to be deleted once it is sent."""
    if file.delete:
        with contextlib.suppress(OSError):
            os.unlink(file.path)


async def _send(
    request: web.Request, writer: AbstractStreamWriter, source: int, size: int, moved: Callable[[int], None]
) -> None:
    threads = request.config_dict[SENDING]
    with _socket_of(request.transport) as target:
        await _flush(request, writer)
        sent = 0
        while sent < size:
            count = await threads.run(_send_piece, target, source, sent, min(PIECE_BYTES, size - sent))
            if count is None:
                await _writable(target, stall_timeout_s(request), stalls_of(request))
            elif count:
                sent += count
                writer.output_size += count  # it has not passed there
                moved(count)
            else:
                raise BrokenAnswer(BadAnswer.status, "the answer's file became shorter while it was sent")


async def _send_encrypted(
    request: web.Request, writer: AbstractStreamWriter, source: int, size: int, moved: Callable[[int], None]
) -> None:
    threads, sent = request.config_dict[SENDING], 0
    while sent < size:
        piece = await threads.run(_read_piece, source, sent, min(PIECE_BYTES, size - sent))
        if not piece:
            raise BrokenAnswer(BadAnswer.status, "the answer's file became shorter while it was sent")
        await writer.write(piece)
        sent += len(piece)
        moved(len(piece))


def _read_piece(source: int, offset: int, count: int) -> bytes:
    try:
        return os.pread(source, count, offset)
    except OSError as error:
        raise BrokenAnswer(BadAnswer.status, f"the answer's file cannot be read on: {error.strerror}") from error


def _send_piece(target: int, source: int, offset: int, count: int) -> int | None:
    """Return how many bytes were sent, None where the client has not read enough to send any. On a thread."""
    try:
        return os.sendfile(target, source, offset, count)
    except BlockingIOError:
        return None
    except ConnectionError:
        raise
    except OSError as error:
        raise BrokenAnswer(BadAnswer.status, f"the answer's file cannot be read on: {error.strerror}") from error


async def _flush(request: web.Request, writer: AbstractStreamWriter) -> None:
    """Wait until all that the transport was given, the head of this response too, is in the socket."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    transport.set_write_buffer_limits(0)
    try:
        while transport.get_write_buffer_size() and not transport.is_closing():
            await writer.drain()
            await asyncio.sleep(0)  # never spin, whatever the transport says
    finally:
        transport.set_write_buffer_limits()


async def _writable(target: int, limit_s: float | None, stalls: Stalls) -> None:
    """Wait until the socket takes more.

    Raises:
        ConnectionResetError: The client has read nothing for so long.
    """
    loop, turn = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(target, turn.set)
    try:
        waits, silent_s = held_by_system(target), 0.0
        while not await _is_set(turn, look_s := min((limit_s or LOOK_S) - silent_s, LOOK_S), stalls):
            waited, waits = waits, held_by_system(target)
            silent_s = silent_s + look_s if limit_s and waits >= waited else 0.0
            if limit_s and silent_s >= limit_s:
                raise ConnectionResetError("the client reads nothing")
    finally:
        loop.remove_writer(target)


async def _is_set(turn: asyncio.Event, within_s: float, stalls: Stalls) -> bool:
    """Wait so long for an event; tell whether it has come."""
    with contextlib.suppress(TimeoutError):
        async with stalls.timeout(within_s):
            await turn.wait()
    return turn.is_set()


@contextlib.contextmanager
def _socket_of(transport: asyncio.Transport | None) -> Iterator[int]:
    """Yield a copy of a connection's descriptor: the loop lets nobody else watch those of its transports."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is None or connection.fileno() < 0:
        raise ConnectionResetError("the client has left")
    descriptor = os.dup(connection.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    try:
        return open_regular(path)
    except (OSError, ValueError) as error:
        raise BadAnswer("The model's answer is a file that cannot be read.", log=str(error)) from error
