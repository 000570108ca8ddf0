"""The yardsticks: aiohttp handlers on uvloop that do what a model is asked to do, and nothing else.

| route | does |
| --- | --- |
| ``/predict`` | reads the body, as every handler that predicts has to, does not parse it, and answers constant JSON |
| ``/upload`` | reads a multipart body into memory, finds its one file by the boundary, answers the file's SHA-256 |
| ``/upload-parts`` | the same, but reads the file with aiohttp's own multipart reader, and hashes it as it comes |
| ``/answer`` | reads the body and answers 4 MiB of constant bytes |
| ``/sleep`` | reads the body, and lets two requests at a time sleep for 10 ms |

There is no middleware, no limit, no access log, no file on disk. So it is the most that a server on aiohttp can reach
on this machine. It runs as a script of its own: ``python benchmarks/bare.py [PORT]`` serves on that port or a free one,
says which on stdout, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys

import uvloop
from aiohttp import BodyPartReader, web

__all__ = ["ANSWER", "BLOB_BYTES", "PATH", "build"]

PATH = "/predict"
ANSWER = b'{"y":2}'
BLOB_BYTES = 4 * 1024**2

_CHUNK_BYTES = 256 * 1024
# The yardstick keeps no limit; aiohttp has one unless told.
_NO_LIMIT = 1 << 40
_BLOB = bytes(BLOB_BYTES)
_SLEEP_S = 0.01
_TWO = web.AppKey("two", asyncio.Semaphore)


async def _predict(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


async def _upload(request: web.Request) -> web.Response:
    body = await request.read()
    start, end = body.index(b"\r\n\r\n") + 4, body.rindex(b"\r\n--")
    return _digest(hashlib.sha256(memoryview(body)[start:end]).hexdigest())


async def _upload_parts(request: web.Request) -> web.Response:
    part = await (await request.multipart()).next()
    assert isinstance(part, BodyPartReader)
    digest = hashlib.sha256()
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        digest.update(chunk)
    return _digest(digest.hexdigest())


def _digest(text: str) -> web.Response:
    return web.Response(text=f'{{"sha256":"{text}"}}', content_type="application/json")


async def _answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=_BLOB)


async def _sleep(request: web.Request) -> web.Response:
    await request.read()
    async with request.app[_TWO]:
        await asyncio.sleep(_SLEEP_S)
    return web.Response(text=f'{{"slept_s":{_SLEEP_S}}}', content_type="application/json")


def build() -> web.Application:
    """Return the application with its routes."""
    app = web.Application(client_max_size=_NO_LIMIT)
    app.router.add_post(PATH, _predict)
    app.router.add_post("/upload", _upload)
    app.router.add_post("/upload-parts", _upload_parts)
    app.router.add_post("/answer", _answer)
    app.router.add_post("/sleep", _sleep)
    app[_TWO] = asyncio.Semaphore(2)
    return app


async def _serve(port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    runner = web.AppRunner(build(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"bare ready on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]) if sys.argv[1:] else 0))
