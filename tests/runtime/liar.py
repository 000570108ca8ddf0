"""A worker that sends whatever a test wants over a real channel, in the place of the process that would.

    deployment --> Liar --> Channel --> [socket pair] --> lie(calls) --> [socket pair] --> Channel --> deployment

Both ends are on one loop whose time costs nothing, so that a thousand workers die in a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Callable, Sequence
from typing import Any

from modelserve.frames import Receiver, encode
from modelserve.messages import Answer, Answers, Call, Calls, Failed, Ready, decode_worker_bound
from modelserve.runtime.channel import Channel
from modelserve.runtime.interface import StartFailed
from tests.runtime.fakes import FakeReplica, describe

__all__ = ["Liar", "Lie", "QuickLoop", "framed"]

Lie = Callable[[list[Call]], Sequence[bytes]]


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to its next timer once nothing can be read or written."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now_s


class _Jump(selectors.EpollSelector):
    def __init__(self, loop: QuickLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout:
            self._loop.now_s += timeout
        return found if found or timeout is not None else super().select(5)


def framed(*messages: Any) -> bytes:
    """Return messages as the bytes that a worker sends."""
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))


class Liar(FakeReplica):
    """A replica whose worker starts well, and then answers each frame of calls with bytes of the test's own.

    Args:
        name: The worker's.
        lie: Returns what the worker sends, in pieces between which the server reads; it then ends.
        opening: What it sends in the place of being ready, None for that.
    """

    def __init__(self, name: str = "m-0", *, lie: Lie | None = None, opening: Sequence[bytes] | None = None) -> None:
        super().__init__(name)
        self._lie = lie
        self._opening = opening
        self._link: Channel | None = None
        self._worker: asyncio.Task[None] | None = None

    async def start(self, listener: Any) -> Any:
        self._listener = listener
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        self._link = link = Channel(self, listener, lambda stage: None, self._closed, answer_bytes=1 << 20)
        link.on_checked = self.checks.answered
        await loop.create_unix_connection(lambda: link, sock=ours)
        self._worker = loop.create_task(self._work(theirs))
        try:
            description = await link.started
        except BaseException:
            link.abort()
            raise
        self.is_warm = True
        return description

    def send(self, calls: list[Call]) -> None:
        super().send(calls)
        if self._link is not None and not self._link.closed:
            self._link.send(Calls(calls))

    def end(self, reason: str, detail: str) -> None:
        self.ends.append(reason)
        self._abort()

    async def stop(self, wait_s: float) -> None:
        self.stops.append(wait_s)
        self._abort()
        if self._worker is not None:
            with contextlib.suppress(OSError):
                await self._worker

    def _abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    def _closed(self) -> None:
        """Do what the handle of a process does once its channel has closed: see to it that the worker is dead."""
        link = self._link
        if link is not None and not link.started.done():
            link.started.set_exception(StartFailed(Failed("load", "It ended.", "")))
        self.die("signal", "killed by signal 9 (SIGKILL)")

    async def _work(self, theirs: socket.socket) -> None:
        """Be the worker's process."""
        loop, receiver = asyncio.get_running_loop(), Receiver(decode_worker_bound)
        opening = [framed(Ready(describe()))] if self._opening is None else self._opening
        with theirs, contextlib.suppress(OSError):
            for piece in opening:
                await loop.sock_sendall(theirs, piece)
                await asyncio.sleep(0.001)
            while count := await loop.sock_recv_into(theirs, receiver.buffer()):
                for message in receiver.received(count):
                    if isinstance(message, Calls) and not await self._answer(theirs, message.calls):
                        return

    async def _answer(self, theirs: socket.socket, calls: list[Call]) -> bool:
        """Answer as asked; return whether it works on."""
        self.begun += len(calls)
        if self._lie is None:
            answers = [Answer(call.id, "text/plain", call.body) for call in calls]
            await asyncio.get_running_loop().sock_sendall(theirs, framed(Answers(answers, busy_ns=1000)))
            return True
        for piece in self._lie(calls):
            await asyncio.get_running_loop().sock_sendall(theirs, piece)
            await asyncio.sleep(0.001)
        return False
