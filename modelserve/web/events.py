"""Server-sent events: the response that carries them, and the pauses in which a comment keeps its connection open.

The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

from aiohttp import web

from modelserve.exact import to_json
from modelserve.web.requests import REQUEST_ID
from modelserve.web.responses import SERVER

__all__ = ["EVENTS", "FOR_EVENTS", "KEEP_ALIVE_S", "EventResponse", "with_pauses"]

EVENTS = "text/event-stream"

# Events are of the moment, and nginx would hold them back until its buffer is full:
# https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
FOR_EVENTS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# "authors can include a comment line every 15 seconds or so", lest a proxy drops a silent connection (section 9.2.7).
KEEP_ALIVE_S = 15.0

T = TypeVar("T")


class EventResponse:
    """Sends events to one client, no faster than it reads.

    Raises:
        ConnectionError: From each method, when the client has left.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={
                "Content-Type": EVENTS,
                **FOR_EVENTS,
                "X-Content-Type-Options": "nosniff",
                "X-Request-ID": request[REQUEST_ID],
                "Server": SERVER,
            }
        )

    async def begin(self) -> None:
        """Send the head."""
        await self._response.prepare(self._request)

    async def send(self, name: str, data: Any) -> None:
        """Send one event whose data is JSON."""
        await self._response.write(b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(data)))

    async def send_lines(self, name: str, lines: list[str], last_id: int) -> None:
        """Send lines of text as one event, under an id that a client repeats when it comes back."""
        data = "".join(f"data: {line}\n" for line in lines)
        await self._response.write(f"event: {name}\nid: {last_id}\n{data}\n".encode())

    async def keep_alive(self) -> None:
        """Send a comment, which clients skip."""
        await self._response.write(b": still here\n\n")

    async def end(self) -> web.StreamResponse:
        """Send the end, and return the response."""
        await self._response.write_eof()
        return self._response


async def with_pauses(items: AsyncIterator[T], pause_s: float) -> AsyncGenerator[T | None]:
    """Yield the items, and None whenever none has come for so many seconds. The items are closed at its end."""
    coming: asyncio.Future[T | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(items))
            done, _ = await asyncio.wait([coming], timeout=pause_s)
            if not done:
                yield None
                continue
            item, coming = coming.result(), None
            if item is None:
                return
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await coming
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _next(items: AsyncIterator[T]) -> T | None:
    return await anext(items, None)
