"""How long a body takes from one process to another: the socket pair that modelserve uses, and what it might use.

    python -m benchmarks.transports

Each transport gives its receiver memory that it can read as a whole, and the receiver reads a byte of every page. What
is shown is the median time until the sender has an empty answer to a body of that size, in microseconds.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
import statistics
import time
from collections.abc import Callable
from typing import Protocol

from modelserve.frames import Receiver, encode
from modelserve.messages import Call, Calls, decode_worker_bound
from modelserve.runtime.channel import pair

SIZES = (1_024, 65_536, 1_048_576, 4_194_304, 8_388_608)
RING_BYTES = 16 * 1_048_576
ROUNDS = 60


class Transport(Protocol):
    """One way to pass a body, made before the processes part."""

    def send(self, end: socket.socket, body: bytes) -> None: ...

    def receive(self, end: socket.socket) -> memoryview: ...


class Frames:
    """What modelserve does: the body is sent from its object, and received into one of its own."""

    def __init__(self) -> None:
        self._receiver = Receiver(decode_worker_bound)

    def send(self, end: socket.socket, body: bytes) -> None:
        buffers = [memoryview(buffer) for buffer in encode(Calls([Call(body=body)]))]
        while buffers:
            sent = end.sendmsg(buffers)
            while buffers and sent >= len(buffers[0]):
                sent -= len(buffers.pop(0))
            if sent:
                buffers[0] = buffers[0][sent:]

    def receive(self, end: socket.socket) -> memoryview:
        while not (messages := self._receiver.received(end.recv_into(self._receiver.buffer()))):
            pass
        assert isinstance(messages[0], Calls)
        return memoryview(messages[0].calls[0].body)


class Descriptors:
    """A file in memory for each body, whose descriptor is passed; the receiver maps it."""

    def send(self, end: socket.socket, body: bytes) -> None:
        memory = os.memfd_create("body")
        view = memoryview(body)
        while view:
            view = view[os.write(memory, view) :]
        end.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))])
        os.close(memory)

    def receive(self, end: socket.socket) -> memoryview:
        _, (memory, *_), _, _ = socket.recv_fds(end, 1, 1)
        mapped = mmap.mmap(memory, 0, prot=mmap.PROT_READ)
        os.close(memory)
        return memoryview(mapped)


class Ring:
    """Memory that both have mapped from the start; the receiver reads it in place, or copies it out.

    In place, the sender must wait for the model to be done with a body before it can write the next there.
    """

    def __init__(self, *, copied: bool) -> None:
        self._memory = memoryview(mmap.mmap(-1, RING_BYTES))
        self._copied = copied

    def send(self, end: socket.socket, body: bytes) -> None:
        self._memory[: len(body)] = body
        end.send(len(body).to_bytes(8, "big"))

    def receive(self, end: socket.socket) -> memoryview:
        view = self._memory[: int.from_bytes(end.recv(8), "big")]
        return memoryview(bytes(view)) if self._copied else view


TRANSPORTS: dict[str, Callable[[], Transport]] = {
    "socket pair": Frames,
    "memfd passed": Descriptors,
    "ring, copied out": lambda: Ring(copied=True),
    "ring, in place": lambda: Ring(copied=False),
}


def main() -> None:
    """Print one row for each transport."""
    print("| transport | " + " | ".join(f"{size // 1024} KiB" for size in SIZES) + " |")
    print("| --- |" + " ---: |" * len(SIZES))
    for name, make in TRANSPORTS.items():
        print(f"| {name} | " + " | ".join(f"{time_us:,.0f}" for time_us in _measure(make())) + " |")


def _measure(transport: Transport) -> list[float]:
    ours, theirs = pair()
    child = os.fork()
    if not child:
        ours.close()
        _answer(transport, theirs)
        os._exit(0)
    theirs.close()
    times = [_median_us(transport, ours, os.urandom(size)) for size in SIZES]
    ours.close()
    os.waitpid(child, 0)
    return times


def _answer(transport: Transport, end: socket.socket) -> None:
    while end.recv(1, socket.MSG_PEEK):
        body = transport.receive(end)
        bytes(body[::4096])
        end.send(b"x")


def _median_us(transport: Transport, end: socket.socket, body: bytes) -> float:
    times = []
    for _ in range(ROUNDS):
        since = time.perf_counter()
        transport.send(end, body)
        end.recv(1)
        times.append(time.perf_counter() - since)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
