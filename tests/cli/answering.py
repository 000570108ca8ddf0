"""A server of a test's own making, for what no real one does: it answers what it is told, and drops connections."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from modelserve.cli.remote import Remote

__all__ = ["Handler", "answering", "drop", "serving"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(**handlers: Handler) -> AsyncIterator[Remote]:
    """Run a server of our own making; a handler's name is its method."""
    app = web.Application()
    for method, handler in handlers.items():
        app.router.add_route(method, "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with Remote(f"http://127.0.0.1:{runner.addresses[0][1]}") as remote:
            yield remote
    finally:
        await runner.cleanup()


def answering(status: int, body: Any = None, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


async def drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError
