"""GET /v2/models/{name}/log: what a deployment's workers have printed and logged, and what the server says of it.

    ?tail=N      the last lines, as far as they are in memory        ?follow=1    and those that come, as events
    neither      all that the files hold, the oldest first, as a download

GET /v2/debug/ is the end of all of them, where that is switched on. Only administrators read any of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import IO

from aiohttp import web

from modelserve.logs.kept import KeptLogs
from modelserve.runtime.fleet import Fleet, Status
from modelserve.web.events import KEEP_ALIVE_S, EventResponse
from modelserve.web.v2.jobs import whole_number
from modelserve.web.v2.log_answers import LOOK_S, MAX_TAIL, last_seen, log_headers, switch

__all__ = ["ModelLogs", "nothing"]

# Without a tail, events begin with so many lines; so does /v2/debug/ show for each deployment.
SHOWN = 100

PIECE_BYTES = 256 * 1024


class ModelLogs:
    """The logs of all deployments.

    Args:
        fleet: They.
        logs: What is kept of them.
    """

    def __init__(self, fleet: Fleet, logs: KeptLogs) -> None:
        self._fleet = fleet
        self._logs = logs

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Answer with the log of one deployment.

        Raises:
            BadRequest: ``tail`` or ``follow`` is malformed.
            NotFound: There is no such deployment.
        """
        tail = whole_number(request, "tail", -1, 0, MAX_TAIL)
        is_followed = switch(request, "follow")
        name = self._fleet.find(request.match_info["name"]).name
        if is_followed and request.method != "HEAD":
            return await self._follow(request, name, SHOWN if tail < 0 else tail)
        if tail >= 0:
            return web.Response(text=_joined(self._logs.tail(name, tail).lines), headers=log_headers(request))
        return await self._download(request, name)

    async def debug(self, request: web.Request) -> web.Response:
        """Answer with the last lines of every deployment."""
        parts = [f"==> {name} <==\n{_joined(self._logs.tail(name, SHOWN).lines)}" for name in self._fleet.deployments]
        return web.Response(text="\n".join(parts), headers=log_headers(request))

    async def _follow(self, request: web.Request, name: str, tail: int) -> web.StreamResponse:
        """Send lines as they come until the client leaves, or the server stops."""
        seen = last_seen(request)
        found = self._logs.tail(name, tail) if seen is None else self._logs.since(name, seen)
        events, silent_s = EventResponse(request), 0.0
        await events.begin()
        while True:
            if found.lines:
                await events.send_lines("log", found.lines, found.last)
            silent_s = 0.0 if found.lines else silent_s + LOOK_S
            if silent_s >= KEEP_ALIVE_S:
                await events.keep_alive()
                silent_s = 0.0
            if self._fleet.find(name).status is Status.STOPPING:
                return await events.end()
            await asyncio.sleep(LOOK_S)
            found = self._logs.since(name, found.last)

    async def _download(self, request: web.Request, name: str) -> web.StreamResponse:
        """Send the files as they are now, which may be put aside meanwhile; without files, what is in memory."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(file) for file in await asyncio.to_thread(self._logs.files, name)]
            if not files:
                text = _joined(self._logs.tail(name, MAX_TAIL).lines)
                return web.Response(text=text, headers=log_headers(request, f"{name}.log"))
            sizes = [os.fstat(file.fileno()).st_size for file in files]
            response = web.StreamResponse(headers=log_headers(request, f"{name}.log"))
            response.content_length = sum(sizes)
            await response.prepare(request)
            if request.method != "HEAD":
                for file, size in zip(files, sizes, strict=True):
                    await _send(response, file, size)
            await response.write_eof()
            return response


async def nothing(request: web.Request) -> web.Response:
    """Answer a request for what is switched off, as DEEPaaS does."""
    return web.Response(status=204)


async def _send(response: web.StreamResponse, file: IO[bytes], size: int) -> None:
    while size and (piece := await asyncio.to_thread(file.read, min(PIECE_BYTES, size))):
        await response.write(piece)
        size -= len(piece)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
