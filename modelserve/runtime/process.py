"""The server's handle on one worker process of this machine: start, await Ready, send, ask-wait-kill.

    LocalReplica --Calls--> [channel.py] --> worker.py --> [channel.py] --Answers--> LocalReplica

One Unix socket pair per worker carries the frames; nobody else has its ends, so a worker that dies in the middle of a
frame harms no other. Its death is seen on a pidfd, which no grandchild can hold open.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from modelserve.messages import Answer, Call, Calls, Cancel, Check, Description, Failed, More, Scrape, Scraped
from modelserve.private_folder import make_private
from modelserve.runtime import boot, channel, lifeline
from modelserve.runtime.checks import Checks
from modelserve.runtime.hearing import Ear, Hearing
from modelserve.runtime.interface import DEVICE_EXIT, Exit, Listener, Misbehaved, StartFailed, WorkerSpec
from modelserve.runtime.launch import added_paths, launch, what_is_wrong
from modelserve.runtime.leftovers import hold_again
from modelserve.runtime.offspring import kill_offspring
from modelserve.runtime.orphans import Orphans
from modelserve.runtime.remains import Remains
from modelserve.stalls import Delay, Stalls
from modelserve.supervised import Supervisor

__all__ = ["LocalBackend", "LocalReplica"]

logger = logging.getLogger(__name__)

# How long the last answers of a worker that has just died may take to be read from its channel.
DRAIN_S = 0.05

TERMINATE_WAIT_S = 1.0

# A worker that is still there so long after SIGKILL is in the hands of the kernel, and nobody waits for it any more.
KILL_WAIT_S = 5.0


class LocalBackend:
    """Runs workers as processes of their own.

    Args:
        folder: Under which their temporary files live.
        hearing: Hears what they print and log; without it, they write to our standard error.
        supervisor: Keeps the threads going that remove what they leave behind.
        stalls: Tells how long the server stood still.
    """

    def __init__(
        self,
        folder: str,
        hearing: Hearing | None = None,
        supervisor: Supervisor | None = None,
        stalls: Stalls | None = None,
    ) -> None:
        self._folder = folder
        self._hearing = hearing
        house = supervisor or Supervisor()
        self._remains = Remains(house)
        self._orphans = Orphans(house)
        self._stalls = stalls or Stalls()
        self._paths = added_paths()
        self._numbers = itertools.count()
        self._locks = contextlib.ExitStack()

    def replica(self, spec: WorkerSpec) -> LocalReplica:
        machinery = Machinery(self._paths, self._remains, self._stalls, self._make_scratch, self._hearing)
        return LocalReplica(spec, self._folder, machinery)

    async def __aenter__(self) -> LocalBackend:
        self._orphans.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        """End and remove what workers may have left."""
        try:
            await asyncio.to_thread(self._clear)
        except RuntimeError:  # no thread can be started, and nobody is served any more
            self._clear()

    def _make_scratch(self) -> str:
        """Make a worker's temporary folder, with a short path, since that of a socket has 107 bytes at most."""
        make_private(self._folder)  # it may have been swept away since the last worker was made
        if (lock := hold_again(self._folder)) >= 0:
            self._locks.callback(os.close, lock)
        while True:
            path = os.path.join(self._folder, str(next(self._numbers)))
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
                return path

    def _clear(self) -> None:
        self._orphans.close()
        self._remains.close()
        kill_offspring(self._folder)
        self._locks.close()


class Machinery(NamedTuple):
    """What the workers of one backend share; ``make_scratch`` makes the temporary folder of the next one."""

    paths: boot.AddedPaths
    remains: Remains
    stalls: Stalls
    make_scratch: Callable[[], str]
    hearing: Hearing | None


class LocalReplica:
    """A :class:`modelserve.runtime.interface.Replica` that is a process of this machine."""

    def __init__(self, spec: WorkerSpec, folder: str, machinery: Machinery) -> None:
        self._spec = spec
        self._folder = folder
        self._paths, self._remains, self._stalls, self._make_scratch, hearing = machinery
        self._hearing = None if spec.log_path else hearing
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: channel.Channel | None = None
        self._listener: Listener | None = None
        self._begun: boot.Counter | None = None
        self._checks = Checks()
        self._scraped: asyncio.Future[Scraped] | None = None
        self._stage = "load"
        self._timer: Delay | None = None
        self._giving_up: Delay | None = None
        self._pidfd = -1
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
        if self._scraped is None:  # else it is asked already
            self._channel.send(Scrape())
            self._scraped = asyncio.get_running_loop().create_future()
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
        self._stalls.call_later(TERMINATE_WAIT_S, self.kill)

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
        if self._process is not None and self._giving_up is None and not self._ended.is_set():
            self._giving_up = self._stalls.call_later(KILL_WAIT_S, self._give_up)

    async def _connect(self, listener: Listener) -> socket.socket:
        """Make the channel, and return the worker's end of it."""
        ours, theirs = channel.pair()
        self._closers.callback(theirs.close)
        self._closers.callback(ours.close)
        # A channel that closes under a living worker is broken.
        most = self._spec.options.max_answer_bytes
        self._channel = link = channel.Channel(self, listener, self._enter, self.kill, answer_bytes=most)
        link.on_checked = self._checks.answered
        link.checks_due = self._checks.__len__
        link.on_scraped = self._on_scraped
        self._listener = listener
        self._closers.callback(link.abort)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
        return theirs

    def _spawn(self, theirs: socket.socket) -> None:
        assert self._channel is not None
        self._remains.start()  # now, since at its end there may be no room for another thread
        scratch = self._make_scratch()
        self._closers.callback(self._remains.put, scratch)
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
        self._closers.callback(self._hearing.gone, ear)
        return ear

    def _tie_and_watch(self, life: int) -> None:
        """Let the kernel end the worker with us, and tell us of its end; where it cannot, leave nothing behind."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        try:
            lifeline.tie(life, self.pid)
            self._pidfd = os.pidfd_open(self.pid)
            self._closers.callback(os.close, self._pidfd)
            loop.add_reader(self._pidfd, self._on_death, loop)
        except BaseException:
            self._signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_WAIT_S)
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
        self._timer = self._stalls.call_later(seconds, self._overrun, seconds, setting) if seconds else None

    def _overrun(self, seconds: float, setting: str) -> None:
        became = "warm" if setting == "warm_timeout_s" else "loaded"
        self._fail(f"The model was not {became} within {setting}, which is {seconds:g} s: raise it, or do less there.")

    def _fail(self, message: str) -> None:
        assert self._channel is not None
        if not self._channel.started.done():
            self._channel.started.set_exception(StartFailed(Failed(self._stage, message, "")))

    def _on_death(self, loop: asyncio.AbstractEventLoop) -> None:
        """The process has ended; read what it still said, then tell."""
        loop.remove_reader(self._pidfd)
        self._signal(signal.SIGKILL)  # its children, while the dead leader still reserves the group's number
        assert self._channel is not None
        if self._channel.closed:
            self._bury()
        else:
            self._channel.on_closed = self._bury
            self._stalls.call_later(DRAIN_S, self._channel.abort)

    def _bury(self) -> None:
        """Take the dead worker's status, tell who waits for it, and remove what it had."""
        if self._ended.is_set():
            return
        assert self._process is not None
        status = self._process.wait()  # which is there
        wrong = what_is_wrong(self._spec, status)
        self._lose(self._end or self._broken() or _how_it_ended(status), wrong)

    def _broken(self) -> Exit | None:
        """Return how the worker ended where that was for what it said."""
        trouble = "" if self._channel is None else self._channel.trouble
        return Exit("broken", f"ended because it {trouble}") if trouble else None

    def _give_up(self) -> None:
        """The worker does not end although it was killed: go on as if it had, and leave it to the kernel."""
        if self._ended.is_set():
            return
        assert self._process is not None
        assert self._channel is not None
        loop, words = asyncio.get_running_loop(), f"has not ended {KILL_WAIT_S:g} s after SIGKILL, and is left behind"
        extra = {"deployment": self._spec.ref.name, "worker": self.name, "pid": self.pid}
        logger.error("worker %s: its process is in the hands of the kernel", words, extra=extra)
        loop.remove_reader(self._pidfd)
        self._channel.on_closed = _nothing
        try:
            pidfd = os.dup(self._pidfd)
            loop.add_reader(pidfd, _reap, loop, pidfd, self._process)
        finally:
            self._lose(self._end or Exit("signal", words), "")

    def _lose(self, end: Exit, wrong: str) -> None:
        """Tell who waits for the worker that it is no more. That comes first: to clean up may fail."""
        assert self._channel is not None
        self._ended.set()
        if self._giving_up is not None:
            self._giving_up.cancel()
        try:
            self._checks.lost()
            if self._scraped is not None:
                self._scraped.cancel()
            self._tell(end, wrong)
        finally:
            self._listener = None  # it may hold on to us, and a training to all that it has returned
            self._closers.close()

    def _tell(self, end: Exit, wrong: str) -> None:
        assert self._channel is not None
        started = self._channel.started
        if not started.done():
            self._fail(wrong or f"The worker {end.detail} before its model was ready.")
        elif not started.cancelled() and started.exception() is None:
            assert self._listener is not None
            self._listener.lost(self, end)

    def _on_scraped(self, scraped: Scraped) -> None:
        """Pass on what the model counts."""
        future, self._scraped = self._scraped, None
        if future is None:
            raise Misbehaved("told what its model counts unasked")
        if not future.done():
            future.set_result(scraped)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the worker's process group, whose number nobody else has before the worker is buried."""
        if self._process is not None and not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with self._stalls.timeout(seconds):
                await self._ended.wait()
        return self._ended.is_set()


def _reap(loop: asyncio.AbstractEventLoop, pidfd: int, process: subprocess.Popen[bytes]) -> None:
    """Bury the process of a worker that was given up, at last."""
    loop.remove_reader(pidfd)
    os.close(pidfd)
    process.wait()


def _nothing() -> None:
    """Take the place of a callback that is not wanted any more."""


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
