"""Hears what workers print and log, on a thread of its own, and says it in the server's log under their names.

    worker: print, logging, a crash's last words --> standard output and error = a pipe --> Hearing --> lines
    lines --> Flow: only so many of a flood --> Backlog: a thread that makes records of them --> handlers of the log

The pipe is read whatever becomes of the lines, so no model waits for a log. A line of any bytes is at worst a line that
is said as text.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import selectors
import time
from collections import deque
from collections.abc import Sequence

from modelserve.held import Bound
from modelserve.logs.backlog import LIMIT_BYTES, Backlog
from modelserve.logs.flow import Flow
from modelserve.logs.passing import make_mark, taken
from modelserve.logs.writing import left_out, not_taken
from modelserve.supervised import Supervisor

__all__ = ["Ear", "Hearing"]

# What a pipe holds; a worker that prints more at once waits until it is read. The most that a user may ask for.
PIPE_BYTES = 1 << 20

# A longer line is said in parts.
LINE_BYTES = 64 * 1024

# Between two pieces of a flood, so that it does not take a processor from those who answer calls; none where a piece
# was so large that the model would have to wait.
FLOOD_PAUSE_S = 0.001
LARGE_BYTES = PIPE_BYTES // 4

# How soon it is told how much of a flood was left out, where nobody says anything after it.
TELL_S = 1.0

# What workers say is heard to its end when the server stops, but not for longer.
LAST_WORDS_S = 0.5

# So long after a worker's end its pipe is heard, where somebody holds it still: what the worker had started has been
# ended by then, but for what could not be found.
AFTER_S = 5.0

# Whatever is heard was let through by the worker's own level.
_said = logging.getLogger("modelserve.workers")


class Ear:
    """What one worker says.

    Attributes:
        their_end: The descriptor for its standard output and error; whoever starts the worker closes it then.
        mark: What begins each of its records.
    """

    def __init__(self, deployment: str, worker: str) -> None:
        self.mark = make_mark()
        self.whose = {"deployment": deployment, "worker": worker}
        self.our_end, self.their_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.our_end, False)
        with contextlib.suppress(OSError):  # the user has too many such pipes
            fcntl.fcntl(self.their_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._rest = b""
        self.is_open = True
        self.end_s = math.inf  # when it is heard no more, whoever holds its pipe

    def lines(self, piece: bytes) -> list[bytes]:
        """Return the lines that are whole with this piece; an empty one is the end."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if self._rest and (not piece or len(self._rest) > LINE_BYTES):
            whole.append(self._rest)
            self._rest = b""
        return whole

    def skip(self, piece: bytes) -> int:
        """Take a piece of which nothing is said, and return how many lines end in it."""
        end = piece.rfind(b"\n") + 1
        self._rest = (piece[end:] if end else self._rest + piece)[-LINE_BYTES:]  # it may go on
        return piece.count(b"\n")


_Heard = tuple[Ear, bytes] | logging.LogRecord


class Hearing:
    """Hears all workers of a server.

    Args:
        supervisor: Runs the thread that does so.
        after_s: Other than ``AFTER_S`` in tests.
    """

    def __init__(self, supervisor: Supervisor, *, after_s: float = AFTER_S) -> None:
        self._after_s = after_s
        self._supervisor = supervisor
        self._flow = Flow()
        self._flooding: dict[str, str] = {}  # whose lines were left out last
        self._selector: selectors.BaseSelector
        self._new = deque[Ear]()
        self._gone = deque[Ear]()
        self._ending: list[Ear] = []  # those whose workers have gone, in the order in which they end
        self._wake: int
        self._is_closing = False
        self._thread = supervisor.thread("hearing", self._run)
        self._heard = Backlog[_Heard](
            supervisor, "saying", Bound("prints", LIMIT_BYTES), write=_say_all, told=not_taken
        )

    @property
    def bound(self) -> Bound:
        """How much of what was heard waits to be said, and how much may."""
        return self._heard.bound

    @property
    def dropped(self) -> int:
        """How many lines were heard and not said."""
        return self._flow.dropped + self._heard.dropped

    def start(self) -> None:
        """Start to hear."""
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._heard.start()
        self._thread.start()

    def open(self, deployment: str, worker: str) -> Ear:
        """Return an ear for one more worker; it is heard until its pipe has ended, or until soon after :meth:`gone`."""
        ear = Ear(deployment, worker)
        self._new.append(ear)
        os.eventfd_write(self._wake, 1)
        return ear

    def gone(self, ear: Ear) -> None:
        """Hear the last words of a worker that has ended; never blocks.

        A process that it has left behind may hold its pipe for ever.
        """
        if not self._is_closing:
            self._gone.append(ear)
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Say what is left, and hear no more."""
        self._is_closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.close()
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                self._end(key.data)
        self._selector.close()
        os.close(self._wake)
        self._heard.close()

    def _run(self) -> None:
        end_s = None
        while not self._is_over(end_s):
            for key, _ in self._selector.select(self._wait_s(end_s)):
                if key.data is None:
                    self._take_note()
                else:
                    self._try_to_hear(key.data)
            self._tell()
            self._end_some()
            if self._is_closing and end_s is None:
                end_s = time.monotonic() + LAST_WORDS_S

    def _wait_s(self, end_s: float | None) -> float | None:
        """Return how long to wait for a word: not for ever where it has still to be told how much was left out."""
        if end_s is not None:
            return 0.0
        wait_s = max(0.0, self._ending[0].end_s - time.monotonic()) if self._ending else None
        return TELL_S if self._flow.is_owing and (wait_s is None or wait_s > TELL_S) else wait_s

    def _tell(self) -> None:
        if count := self._flow.turn(time.monotonic()):
            self._heard.put(left_out(count, **self._flooding), 0)

    def _is_over(self, end_s: float | None) -> bool:
        """Tell whether the server stops and there is nothing more to hear now."""
        return end_s is not None and (time.monotonic() > end_s or not self._selector.select(0.0))

    def _take_note(self) -> None:
        os.eventfd_read(self._wake)
        while self._new:
            ear = self._new.popleft()
            self._selector.register(ear.our_end, selectors.EVENT_READ, ear)
        while self._gone:
            ear = self._gone.popleft()
            ear.end_s = time.monotonic() + self._after_s
            self._ending.append(ear)

    def _end_some(self) -> None:
        """End the ears whose time is over, and forget those that have ended."""
        for ear in self._ending:
            if ear.is_open and ear.end_s <= time.monotonic():
                self._end(ear)
        self._ending = [ear for ear in self._ending if ear.is_open]

    def _try_to_hear(self, ear: Ear) -> None:
        try:
            self._hear(ear)
        except Exception as error:  # the border to whatever one worker has written: the others are heard on
            self._supervisor.failed("hearing", error)

    def _hear(self, ear: Ear) -> None:
        try:
            piece = os.read(ear.our_end, PIPE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if self._flow.is_over(ear.whose["deployment"]) and piece:
            self._flow.drop(ear.skip(piece))
            self._flooding = ear.whose
            if len(piece) < LARGE_BYTES:
                time.sleep(FLOOD_PAUSE_S)
            return
        self._say(ear, ear.lines(piece))
        if not piece:
            self._end(ear)

    def _say(self, ear: Ear, lines: list[bytes]) -> None:
        for line in lines:
            if not self._flow.admits(ear.whose["deployment"]):
                self._flooding = ear.whose
                continue
            self._flow.spend(ear.whose["deployment"], 1)
            self._heard.put((ear, line), len(line))

    def _end(self, ear: Ear) -> None:
        ear.is_open = False
        self._selector.unregister(ear.our_end)
        os.close(ear.our_end)
        self._say(ear, ear.lines(b""))


def _say_all(heard: Sequence[_Heard]) -> int:
    for each in heard:
        if isinstance(each, logging.LogRecord):
            _said.handle(each)
            continue
        ear, line = each
        for record in taken(line.decode("utf-8", "replace"), ear.mark, **ear.whose):
            _said.handle(record)
    return 0
