"""Writes an answer as an HTTP response: bytes at once, a file from disk in chunks.

A file answer never passes through memory as a whole. It is opened without following links and without waiting, and
must be a regular file, since its path comes from the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from io import FileIO
from typing import Any, BinaryIO
from urllib.parse import quote

import orjson
from aiohttp import web
from multidict import CIMultiDict

from modelserve.errors import BadAnswer
from modelserve.messages import Answer, FileAnswer

__all__ = ["CHUNK_BYTES", "bytes_response", "json_response", "send_file"]

CHUNK_BYTES = 256 * 1024

# Types that a browser shows as a page and runs script from; they are only offered as a download, without rights.
ACTIVE_TYPES = ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml")


def json_response(body: Any, *, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def bytes_response(answer: Answer) -> web.Response:
    """Return the response to a call whose answer is bytes."""
    return web.Response(body=answer.body, headers=_headers(answer))


async def send_file(request: web.Request, answer: Answer, file: FileAnswer, request_id: str) -> web.StreamResponse:
    """Send the response to a call whose answer is a file, and return it once it is sent.

    Raises:
        BadAnswer: The file is gone or is no regular file.
        ConnectionError: The client left, or the file became shorter while it was sent.
    """
    try:
        descriptor, size = _open(file.path)
        with os.fdopen(descriptor, "rb", 0) as source:
            response = web.StreamResponse(headers=_headers(answer))
            response.headers["X-Request-ID"] = request_id
            response.content_length = size
            await response.prepare(request)
            await _copy(source, response, size)
            await response.write_eof()
            return response
    finally:
        if file.delete:
            with contextlib.suppress(OSError):
                os.unlink(file.path)


def _headers(answer: Answer) -> CIMultiDict[str]:
    headers = CIMultiDict({"Content-Type": answer.content_type})
    if answer.content_type != "application/json" or answer.filename:
        disposition = "inline"
        if answer.content_type.partition(";")[0].strip().lower() in ACTIVE_TYPES:
            headers["Content-Security-Policy"] = "sandbox"
            headers["Content-Disposition"] = disposition = "attachment"
        if answer.filename:
            headers["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{quote(answer.filename, safe='')}"
        headers["X-Content-Type-Options"] = "nosniff"
    return headers


async def _copy(source: BinaryIO | FileIO, response: web.StreamResponse, size: int) -> None:
    left = size
    while left and (chunk := await asyncio.to_thread(source.read, min(left, CHUNK_BYTES))):
        await response.write(chunk)
        left -= len(chunk)
    if left:  # it shrank while it was sent: end the connection, so that the client sees the body is cut
        response.force_close()
        raise ConnectionResetError("the answer's file became shorter while it was sent")


def _open(path: str) -> tuple[int, int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadAnswer("The model's answer is a file that cannot be read.", log=str(error)) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise BadAnswer("The model's answer is a file that cannot be read.", log=f"{path} is no regular file")
    return descriptor, status.st_size
