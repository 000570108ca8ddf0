"""Sends a large answer that is in memory, bit by bit, while it counts among all that wait for their clients.

    there is room in memory -> from memory      else on disk -> from a file, by the kernel
    neither -> slow readers make way, in memory first and then on disk

So clients that ask for much and read slowly hold no more memory together than ``max_sending_bytes``, and no more of the
disk than ``max_files_bytes``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from aiohttp import web

from modelserve.errors import NoSpace
from modelserve.frames import Body
from modelserve.messages import Answer
from modelserve.private_folder import make_private
from modelserve.web.connection import counted_as
from modelserve.web.files import send_open
from modelserve.web.responses import begun_response
from modelserve.web.rooms import Guest, Rooms
from modelserve.web.upload_file import UploadFile, no_space

__all__ = ["LARGE_BYTES", "LargeAnswers"]

# A smaller answer is written at once; what its client has not read counts too, but never goes to disk.
LARGE_BYTES = 1024 * 1024

# What is given to the connection at a time: of smaller pieces, each call of the system is a part of the cost.
PIECE_BYTES = 1024 * 1024


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
        size, sending, files = len(answer.body), self._rooms.sending, self._rooms.files
        with sending.guest(transport.abort) as memory, files.guest(transport.abort) as disk:
            if _is_for_memory(memory, disk, size):
                return await _send(request, answer, request_id, headers, memory)
            memory.add(size, is_urgent=False)  # it is there all the same until it is on disk
            try:
                source = await self._put_down(answer.body)
            except NoSpace:  # the disk is fuller than what we have on it
                memory.close()
                disk.close()
                if not memory.take(size):
                    raise
                return await _send(request, answer, request_id, headers, memory)
            try:
                if is_own:
                    answer.body = b""
                memory.close()
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


def _is_for_memory(memory: Guest, disk: Guest, size: int) -> bool:
    """Find room for an answer, where nobody has to make way if there is any; tell whether it is in memory."""
    if memory.take(size, is_urgent=False):
        return True
    if disk.take(size, is_urgent=False):
        return False
    if memory.take(size):
        return True
    disk.hold(size)
    return False


async def _send(
    request: web.Request, answer: Answer, request_id: str, headers: Mapping[str, str], guest: Guest
) -> web.StreamResponse:
    response = begun_response(answer, request_id)
    response.headers.update(headers)
    body = memoryview(answer.body)
    response.content_length = len(body)
    await response.prepare(request)
    with counted_as(request, guest):
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            await response.write(piece)
            guest.move(len(piece))
        await response.write_eof()
    return response
