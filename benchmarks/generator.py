"""A small load generator of our own, for machines without wrk.

One process per CPU, each a uvloop with its share of the connections; a connection is a raw HTTP/1.1 keep-alive
socket. It knows only answers with a Content-Length, which is what is measured. It costs several times the CPU of wrk,
so it shows lower figures where it shares a core with what it measures.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop

from .load import Outcome, Request, percentile

__all__ = ["Generator"]

# After the end of the load, how long an answer under way may still take before it counts as an error.
_LAST_ANSWER_S = 5.0


class Generator:
    """Loads from one process on each of ``cpus``."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = tuple(cpus)

    @property
    def name(self) -> str:
        """The generator, for the record."""
        return "benchmarks.generator (asyncio on uvloop)"

    def run(self, request: Request, *, connections: int, duration_s: int) -> Outcome:
        """Load the server and return what it did."""
        shares = _shares(connections, len(self._cpus))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(len(shares), mp_context=context) as pool:
            running = [
                pool.submit(_work, request, cpu, share, duration_s)
                for cpu, share in zip(self._cpus, shares, strict=False)
            ]
            return _joined([future.result() for future in running])


@dataclass
class _Tally:
    """Seconds each answered request took, errors, and how long it all lasted."""

    latencies: array[float]
    errors: int = 0
    duration_s: float = 0.0


def _shares(connections: int, processes: int) -> list[int]:
    processes = min(processes, connections)
    return [connections // processes + (number < connections % processes) for number in range(processes)]


def _joined(tallies: Sequence[_Tally]) -> Outcome:
    ordered = sorted(latency for tally in tallies for latency in tally.latencies)
    return Outcome(
        requests=len(ordered),
        duration_s=max(tally.duration_s for tally in tallies),
        p50_ms=percentile(ordered, 0.50) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
        errors=sum(tally.errors for tally in tallies),
    )


def _work(request: Request, cpu: int, connections: int, duration_s: float) -> _Tally:
    os.sched_setaffinity(0, {cpu})
    return uvloop.run(_load(request, connections, duration_s))


async def _load(request: Request, connections: int, duration_s: float) -> _Tally:
    tally = _Tally(array("d"))
    parts = urlsplit(request.url)
    wire = _wire(request)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    clients = [_Client(wire, tally, started + duration_s, loop.create_future()) for _ in range(connections)]
    for client in clients:
        # A lambda would bind the loop's last client: the factory is made here and now.
        await loop.create_connection(_always(client), parts.hostname or "", parts.port or 80)
    _done, late = await asyncio.wait([client.done for client in clients], timeout=duration_s + _LAST_ANSWER_S)
    tally.errors += len(late)
    tally.duration_s = time.perf_counter() - started
    return tally


def _always(client: _Client) -> Callable[[], _Client]:
    return lambda: client


def _wire(request: Request) -> bytes:
    parts = urlsplit(request.url)
    head = (
        f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: {request.content_type}\r\nContent-Length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


class _Client(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again until ``until``."""

    def __init__(self, wire: bytes, tally: _Tally, until: float, done: asyncio.Future[None]) -> None:
        self.done = done
        self._wire = wire
        self._tally = tally
        self._until = until
        self._received = bytearray()
        self._awaited = 0
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports are no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        # The head is looked for until it is there, and not again for each of the many pieces of a large answer.
        if not self._awaited and (end := self._received.find(b"\r\n\r\n")) >= 0:
            self._awaited = end + 4 + _content_length(bytes(self._received[:end]))
        if self._awaited and len(self._received) >= self._awaited:
            good = self._received[9:10] == b"2"
            self._received, self._awaited = bytearray(), 0
            self._answered(good=good)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._tally.errors += 1
            self.done.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._wire)

    def _answered(self, *, good: bool) -> None:
        now = time.perf_counter()
        self._tally.latencies.append(now - self._sent)
        self._tally.errors += not good
        if now < self._until:
            self._send()
            return
        assert self._transport is not None
        self.done.set_result(None)
        self._transport.close()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
