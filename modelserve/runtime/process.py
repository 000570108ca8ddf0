"""The server's handle on one worker process of this machine: start, await Ready, send, ask-wait-kill.

    LocalReplica --Calls--> [channel.py] --> worker.py --> [channel.py] --Answers--> LocalReplica

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
import subprocess
import tempfile

from modelserve.messages import Answer, Call, Calls, Cancel, Check, Description, Failed, More, Scrape, Scraped
from modelserve.private_folder import make_private
from modelserve.runtime import boot, channel, lifeline
from modelserve.runtime.checks import Checks
from modelserve.runtime.hearing import Ear, Hearing
from modelserve.runtime.interface import DEVICE_EXIT, Exit, Listener, StartFailed, WorkerSpec
from modelserve.runtime.launch import added_paths, launch, what_is_wrong
from modelserve.runtime.offspring import kill_offspring

__all__ = ["LocalBackend", "LocalReplica"]

# How long the last answers of a worker that has just died may take to be read from its channel.
DRAIN_S = 0.05

TERMINATE_WAIT_S = 1.0


class LocalBackend:
    """Runs workers as processes of their own.

    Args:
        folder: Under which their temporary files live.
        hearing: Hears what they print and log; without it, they write to our standard error.
    """

    def __init__(self, folder: str, hearing: Hearing | None = None) -> None:
        self._folder = folder
        self._hearing = hearing
        self._paths = added_paths()

    def replica(self, spec: WorkerSpec) -> LocalReplica:
        return LocalReplica(spec, self._folder, self._paths, self._hearing)

    async def __aenter__(self) -> LocalBackend:
        return self

    async def __aexit__(self, *error: object) -> None:
        """End what workers may have left; all else that a replica has made it removes itself."""
        await asyncio.to_thread(kill_offspring, self._folder)


class LocalReplica:
    """A :class:`modelserve.runtime.interface.Replica` that is a process of this machine."""

    def __init__(self, spec: WorkerSpec, folder: str, paths: boot.AddedPaths, hearing: Hearing | None = None) -> None:
        self._spec = spec
        self._hearing = None if spec.log_path else hearing
        self._folder = folder
        self._paths = paths
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: channel.Channel | None = None
        self._listener: Listener | None = None
        self._begun: boot.Counter | None = None
        self._checks = Checks()
        self._scraped: asyncio.Future[Scraped] | None = None
        self._stage = "load"
        self._timer: asyncio.TimerHandle | None = None
        self._end: Exit | None = None
        self._ended = asyncio.Event()
        self._closers = contextlib.ExitStack()

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def begun(self) -> int:
        return self._begun.value if self._begun is not None else 0

    async def start(self, listener: Listener) -> Description:
        try:
            with await self._connect(listener) as theirs:
                self._spawn(theirs)
            assert self._channel is not None
            return await self._channel.started
        except BaseException as error:
            await self.stop(0)
            self._closers.close()
            if isinstance(error, OSError):  # no room for another process, file or folder
                raise StartFailed(Failed("load", f"A worker cannot be made: {error}.", "")) from error
            raise
        finally:
            self._bound(0, "")

    def send(self, calls: list[Call]) -> None:
        assert self._channel is not None, "start it first"
        self._channel.send(Calls(calls))

    def check(self, call: Call) -> asyncio.Future[Answer]:
        assert self._channel is not None, "start it first"
        self._channel.send(Check(call))
        return self._checks.ask(call.id)

    def scrape(self) -> asyncio.Future[Scraped]:
        assert self._channel is not None, "start it first"
        self._channel.send(Scrape())
        self._scraped = self._scraped or asyncio.get_running_loop().create_future()
        if self._ended.is_set():
            self._scraped.cancel()
        return self._scraped

    def cancel(self, ids: list[int]) -> None:
        assert self._channel is not None, "start it first"
        self._channel.send(Cancel(ids))

    def more(self, call_id: int, parts: int) -> None:
        assert self._channel is not None, "start it first"
        self._channel.send(More(call_id, parts))

    def end(self, reason: str, detail: str) -> None:
        self._end = self._end or Exit(reason, detail)
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(TERMINATE_WAIT_S, self.kill)

    async def stop(self, wait_s: float) -> None:
        if self._process is None or self._ended.is_set():
            return
        self._end = self._end or Exit("stopped", "it was stopped")
        if self._channel is not None:
            self._channel.finish()
        if not await self._ends_within(wait_s):
            self._signal(signal.SIGTERM)
            if not await self._ends_within(TERMINATE_WAIT_S if wait_s else 0):
                self.kill()
                await self._ended.wait()

    def kill(self) -> None:
        """End the worker at once; nothing happens where it has ended."""
        self._signal(signal.SIGKILL)

    async def _connect(self, listener: Listener) -> socket.socket:
        """Make the channel, and return the worker's end of it."""
        ours, theirs = channel.pair()
        self._closers.callback(theirs.close)
        self._closers.callback(ours.close)
        # A channel that closes under a living worker is broken.
        self._channel = link = channel.Channel(self, listener, self._enter, self.kill)
        link.on_checked = self._checks.answered
        link.on_scraped = self._on_scraped
        self._listener = listener
        self._closers.callback(link.abort)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
        return theirs

    def _spawn(self, theirs: socket.socket) -> None:
        assert self._channel is not None
        make_private(self._folder)  # it may have been swept away since the last worker was made
        scratch = tempfile.mkdtemp(prefix=f"{self.name}-", dir=self._folder)
        self._closers.callback(shutil.rmtree, scratch, ignore_errors=True)
        self._closers.callback(asyncio.get_running_loop().run_in_executor, None, kill_offspring, scratch)
        with contextlib.ExitStack() as passed:
            memory = boot.Counter.memory()
            passed.callback(os.close, memory)
            self._begun = boot.Counter(memory)
            self._closers.callback(self._begun.close)
            life, our_life = os.pipe()
            passed.callback(os.close, life)
            self._closers.callback(os.close, our_life)
            ear = self._open_ear(passed)
            output = 2 if ear is None else ear.their_end
            self._process = launch(self._spec, (theirs.fileno(), life, memory), scratch, output)
            self._tie_and_watch(life)
        mark = "" if ear is None else ear.mark
        self._channel.write([boot.pack(self._paths, boot.Boot(self._spec, scratch, mark))])
        self._enter("load")

    def _open_ear(self, passed: contextlib.ExitStack) -> Ear | None:
        if self._hearing is None:
            return None
        ear = self._hearing.open(self._spec.ref.name, self.name)
        passed.callback(os.close, ear.their_end)
        return ear

    def _tie_and_watch(self, life: int) -> None:
        """Let the kernel end the worker with us, and tell us of its end; where it cannot, leave nothing behind."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        try:
            lifeline.tie(life, self.pid)
            pidfd = os.pidfd_open(self.pid)
            self._closers.callback(os.close, pidfd)
            loop.add_reader(pidfd, self._on_death, loop, pidfd)
        except BaseException:
            self.kill()
            self._process.wait()
            self._ended.set()
            raise

    def _enter(self, stage: str) -> None:
        """The worker's start has come to a stage: from now on that stage's time counts."""
        self._stage = stage
        if stage == "load":
            self._bound(self._spec.load_timeout_s, "load_timeout_s")
        elif stage == "warm":
            self._bound(self._spec.warm_timeout_s, "warm_timeout_s")

    def _bound(self, seconds: float, setting: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._overrun, seconds, setting) if seconds else None

    def _overrun(self, seconds: float, setting: str) -> None:
        became = "warm" if setting == "warm_timeout_s" else "loaded"
        self._fail(f"The model was not {became} within {setting}, which is {seconds:g} s: raise it, or do less there.")

    def _fail(self, message: str) -> None:
        assert self._channel is not None
        if not self._channel.started.done():
            self._channel.started.set_exception(StartFailed(Failed(self._stage, message, "")))

    def _on_death(self, loop: asyncio.AbstractEventLoop, pidfd: int) -> None:
        """The process has ended; read what it still said, then tell."""
        loop.remove_reader(pidfd)
        self.kill()  # its children, while the dead leader still reserves the group's number
        assert self._channel is not None
        if self._channel.closed:
            self._bury()
        else:
            self._channel.on_closed = self._bury
            loop.call_later(DRAIN_S, self._channel.abort)

    def _bury(self) -> None:
        """Take the dead worker's status, remove what it had, and tell who waits for it."""
        assert self._process is not None
        assert self._channel is not None
        if self._ended.is_set():
            return
        status = self._process.wait()  # which is there
        end = self._end or _how_it_ended(status)
        self._ended.set()
        self._checks.lost()
        if self._scraped is not None:
            self._scraped.cancel()
        self._closers.close()
        started = self._channel.started
        if not started.done():
            self._fail(what_is_wrong(self._spec, status) or f"The worker {end.detail} before its model was ready.")
        elif not started.cancelled() and started.exception() is None:
            assert self._listener is not None
            self._listener.lost(self, end)
        self._listener = None  # it may hold on to us, and a training to all that it has returned

    def _on_scraped(self, scraped: Scraped) -> None:
        """Pass on what the model counts; what comes unasked is dropped."""
        future, self._scraped = self._scraped, None
        if future is not None and not future.done():
            future.set_result(scraped)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the worker's process group, whose number nobody else has before the worker is buried."""
        if self._process is not None and not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()


def _how_it_ended(status: int) -> Exit:
    if status < 0:
        return Exit("signal", f"killed by signal {-status} ({_signal_name(-status)})")
    if status == DEVICE_EXIT:
        return Exit("device", f"exited with status {status}, since its GPU fails every call")
    return Exit("exit", f"exited with status {status}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, which have no names
        return "a real-time signal"
