"""Many requests at the same moment, each over a connection of its own, and what became of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from tests.running import Running

__all__ = ["Outcome", "burst", "burst_soon", "call_once"]


class Outcome(NamedTuple):
    """An answer and how long it took; ``code`` is that of an error, "" for none."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float

    @property
    def code(self) -> str:
        return str(self.json()["code"]) if self.status >= 400 else ""

    def json(self) -> Any:
        return json.loads(self.body)


def burst(server: Running, model: str, calls: Sequence[Mapping[str, Any]], **headers: str) -> list[Outcome]:
    """Send all calls at once and return their outcomes in order, as soon as each has one."""

    async def send() -> list[Outcome]:
        path = f"/v2/models/{model}/predict/"
        bodies = [json.dumps(call).encode() for call in calls]
        return await asyncio.gather(*(call_once(server.port, path, body, headers) for body in bodies))

    return asyncio.run(send())


def burst_soon(
    server: Running, model: str, calls: Sequence[Mapping[str, Any]], **headers: str
) -> Future[list[Outcome]]:
    """Do the same on a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(burst, server, model, calls, **headers)
    pool.shutdown(wait=False)
    return future


async def call_once(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """Send one request over a connection of its own."""
    lines = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    since = time.monotonic()
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    return _outcome(answer, time.monotonic() - since)


def _outcome(answer: bytes, took_s: float) -> Outcome:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return Outcome(int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body, took_s)
