"""The yardstick: an aiohttp handler on uvloop that reads the body and answers constant JSON.

It reads the body to its end, as every handler that predicts has to, but does not parse it; it has no middleware, no
limits, no access log. So it is the most that a server on aiohttp can reach on this machine. It runs as a script of
its own: ``python benchmarks/bare.py`` serves on a free port, says which on stdout, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal

import uvloop
from aiohttp import web

__all__ = ["ANSWER", "PATH", "build"]

PATH = "/predict"
ANSWER = b'{"y":2}'


async def _predict(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


def build() -> web.Application:
    """Return the application with its one route."""
    app = web.Application()
    app.router.add_post(PATH, _predict)
    return app


async def _serve() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    runner = web.AppRunner(build(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    print(f"bare ready on http://127.0.0.1:{port}", flush=True)
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve())
