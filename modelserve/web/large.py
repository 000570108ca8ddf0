"""Sends a large answer that is in memory, bit by bit, while it counts among all that wait for their clients.

    there is room, or slow readers make some -> from memory      there is none -> from a file, by the kernel

So clients that ask for much and read slowly hold no more memory together than ``max_sending_bytes``, and no more of the
disk than ``max_files_bytes``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from aiohttp import web

from modelserve.frames import Body
from modelserve.messages import Answer
from modelserve.private_folder import make_private
from modelserve.web.files import send_open
from modelserve.web.responses import begun_response
from modelserve.web.rooms import Guest, Rooms
from modelserve.web.upload_file import UploadFile, no_space

__all__ = ["LARGE_BYTES", "LargeAnswers"]

# A smaller answer is written at once; what its client has not read counts too, but never goes to disk.
LARGE_BYTES = 1024 * 1024

# What is given to the connection at a time. Over TLS, the loop takes and encrypts whatever it is given.
PIECE_BYTES = 256 * 1024


class LargeAnswers:
    """Sends the large answers of one server.

    Args:
        rooms: What they may take together.
        folder: Where those wait that find no room in memory.
    """

    def __init__(self, rooms: Rooms, folder: str) -> None:
        self._rooms = rooms
        self._folder = folder

    async def send(
        self, request: web.Request, answer: Answer, request_id: str, headers: Mapping[str, str], *, is_own: bool
    ) -> web.StreamResponse:
        """Send the response to a call whose answer is large, and return it.

        Args:
            request: The call's.
            answer: What the client gets.
            request_id: The request's.
            headers: Further ones.
            is_own: Whether nobody else has this answer, and its body may be let go of.

        Raises:
            ConnectionError: The client has left, or had to make way for others.
            NoSpace: There is room neither in memory nor on disk.
        """
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has left")
        with self._rooms.sending.guest(transport.abort) as guest:
            if guest.take(len(answer.body)):
                return await _send(request, answer, request_id, headers, guest)
            guest.add(len(answer.body))  # it is there all the same until it is on disk
            with self._rooms.files.guest(transport.abort) as disk:
                disk.hold(len(answer.body))
                source = await self._put_down(answer.body)
                try:
                    if is_own:
                        answer.body = b""
                    guest.close()
                    return await send_open(request, answer, source, request_id, headers=headers, moved=disk.move)
                finally:
                    os.close(source)

    async def _put_down(self, body: Body) -> int:
        """Return a file of this without a name, so that it is gone with its descriptor."""
        with no_space():
            make_private(self._folder)
        path = os.path.join(self._folder, f"answer-{secrets.token_hex(8)}")
        file = UploadFile(path)
        with no_space():
            source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.unlink(path)
        try:
            async with file:
                await file.write(body)
        except BaseException:
            os.close(source)
            raise
        return source


async def _send(
    request: web.Request, answer: Answer, request_id: str, headers: Mapping[str, str], guest: Guest
) -> web.StreamResponse:
    response = begun_response(answer, request_id)
    response.headers.update(headers)
    body = memoryview(answer.body)
    response.content_length = len(body)
    await response.prepare(request)
    for start in range(0, len(body), PIECE_BYTES):
        piece = body[start : start + PIECE_BYTES]
        await response.write(piece)
        guest.move(len(piece))
    await response.write_eof()
    return response
