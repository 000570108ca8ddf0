"""The server's handle on one worker process of this machine: spawn, await Ready, send, ask-wait-kill.

    LocalReplica --Calls--> [socket pair] --> worker.py --> [socket pair] --Answers--> LocalReplica

One Unix socket pair per worker carries the frames; nobody else has its ends, so a worker that dies in the middle of a
frame harms no other. Its death is seen on a pidfd, which no grandchild can hold open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

import multiprocess

from modelserve.messages import (
    Answers,
    Call,
    Calls,
    Description,
    Failed,
    FrameReader,
    Ready,
    decode_server_bound,
    encode,
)
from modelserve.runtime import worker
from modelserve.runtime.interface import Exit, Listener, StartFailed, WorkerSpec

__all__ = ["LocalBackend", "LocalReplica"]

# A body of some megabytes then passes in few system calls (8 MiB in 1.3 ms with 4 MiB buffers, measured by us).
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024

# How long the last answers of a worker that has just died may take to be read from its channel.
DRAIN_S = 0.05

TERMINATE_WAIT_S = 1.0


class LocalBackend:
    """Runs workers as processes started by spawn; their temporary files live under one folder that it removes."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._context = multiprocess.get_context("spawn")

    def replica(self, spec: WorkerSpec) -> LocalReplica:
        return LocalReplica(spec, self._context, self._folder)

    async def __aenter__(self) -> LocalBackend:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing to close: each replica removes what it made."""


class LocalReplica:
    """A :class:`modelserve.runtime.interface.Replica` that is a process of this machine."""

    def __init__(self, spec: WorkerSpec, context: Any, folder: str) -> None:
        self._spec = spec
        self._context = context
        self._folder = folder
        self._process: Any = None
        self._pid = 0
        self._channel: _Channel | None = None
        self._stopping = False
        self._ended = asyncio.Event()
        self._begun = context.RawValue("Q", 0)
        self._closers = contextlib.ExitStack()

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def begun(self) -> int:
        return int(self._begun.value)

    async def start(self, listener: Listener) -> Description:
        try:
            await self._spawn(listener)
            assert self._channel is not None
            return await self._channel.started
        except BaseException as error:
            await self.stop(0)
            self._closers.close()
            if isinstance(error, OSError):  # no room for another process, file or folder
                raise StartFailed(Failed("load", f"A worker cannot be made: {error}.", "")) from error
            raise

    def send(self, calls: list[Call]) -> None:
        assert self._channel is not None
        self._channel.write(encode(Calls(calls)))

    async def stop(self, wait_s: float) -> None:
        if not self._pid or self._ended.is_set():
            return
        self._stopping = True
        if self._channel is not None:
            self._channel.finish()
        if not await self._ends_within(wait_s):
            self._signal(signal.SIGTERM)
            if not await self._ends_within(TERMINATE_WAIT_S if wait_s else 0):
                self._signal(signal.SIGKILL)
                await self._ended.wait()

    async def _spawn(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        scratch = tempfile.mkdtemp(prefix=f"{self.name}-", dir=self._folder)
        self._closers.callback(shutil.rmtree, scratch, ignore_errors=True)
        ours, theirs = socket.socketpair()
        their_life, our_life = self._context.Pipe(duplex=False)
        self._closers.callback(our_life.close)
        self._closers.callback(ours.close)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        with theirs, their_life:
            boot = worker.Boot(self._spec, scratch)
            # Not a daemon in multiprocess's sense: those may have no children of their own, which models do.
            arguments = (theirs, their_life, self._begun, boot)
            self._process = self._context.Process(target=worker.main, args=arguments, name=self.name)
            with _hidden_program():
                self._process.start()
        self._pid = self._process.pid
        pidfd = os.pidfd_open(self._pid)
        self._closers.callback(os.close, pidfd)
        loop.add_reader(pidfd, self._on_death, loop, pidfd)
        self._channel = channel = _Channel(self, listener)
        await loop.create_unix_connection(lambda: channel, sock=ours)

    def _on_death(self, loop: asyncio.AbstractEventLoop, pidfd: int) -> None:
        """The process has ended; read what it still said, then tell."""
        loop.remove_reader(pidfd)
        self._signal(signal.SIGKILL)  # its children, while the dead leader still reserves the group's number
        assert self._channel is not None
        if self._channel.closed:
            self._bury()
        else:
            self._channel.on_closed = self._bury
            loop.call_later(DRAIN_S, self._channel.close)

    def _bury(self) -> None:
        if self._ended.is_set():
            return
        self._process.join()
        end = self._how_it_ended()
        self._ended.set()
        self._closers.close()
        assert self._channel is not None
        self._channel.ended(end)
        self._process.close()

    def _how_it_ended(self) -> Exit:
        code = self._process.exitcode
        if self._stopping:
            return Exit("stopped", "it was stopped")
        if code < 0:
            return Exit("signal", f"killed by signal {-code} ({_signal_name(-code)})")
        return Exit("exit", f"exited with status {code}")

    def _signal(self, number: signal.Signals) -> None:
        """Signal the worker's process group; the worker alone while it has not made one yet."""
        for send in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                send(self._pid, number)
                return

    def kill(self) -> None:
        """End the worker at once, because its channel broke."""
        self._signal(signal.SIGKILL)

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, which have no names
        return "a real-time signal"


@contextlib.contextmanager
def _hidden_program() -> Iterator[None]:
    """Keep spawn from running the program once more in the worker, which without a guard would serve again.

    Nothing of it is missed, since a model that is defined there is carried by value; and a program that came from
    standard input cannot be read twice. See get_preparation_data in multiprocess/spawn.py.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


class _Channel(asyncio.Protocol):
    """The server's end of the socket pair. uvloop gathers the writes of one turn of the loop into one system call."""

    def __init__(self, replica: LocalReplica, listener: Listener) -> None:
        self._replica = replica
        self._listener = listener
        self._reader = FrameReader()
        self._transport: Any = None
        self.closed = False
        self.on_closed: Any = replica.kill  # a channel that closes under a living worker is broken
        self.started: asyncio.Future[Description] = asyncio.get_running_loop().create_future()

    def write(self, frame: bytes) -> None:
        if not self._transport.is_closing():  # a worker may be dead before its death is known here
            self._transport.write(frame)

    def finish(self) -> None:
        """Tell the worker that no more calls come; what it still answers is read."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for payload in self._reader.feed(data):
            message = decode_server_bound(payload)
            if type(message) is Answers:
                self._listener.answered(self._replica, message)
            elif not self.started.done():
                self._on_start(message)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.on_closed()

    def ended(self, end: Exit) -> None:
        """The worker is dead and buried: a start still awaited fails, a running one is lost."""
        if not self.started.done():
            message = f"The worker {end.detail} before its model was ready."
            self.started.set_exception(StartFailed(Failed("load", message, "")))
        elif not self.started.cancelled() and self.started.exception() is None:
            self._listener.lost(self._replica, end)

    def _on_start(self, message: Ready | Failed | Answers) -> None:
        if isinstance(message, Ready):
            self.started.set_result(message.description)
        elif isinstance(message, Failed):
            self.started.set_exception(StartFailed(message))
