"""The worker's way in, for a model that runs one thing at a time: calls, cancellations and credit for streams.

    channel --frames--> Intake --calls, in order--> the main thread

The main thread reads the channel itself while it has nothing to run, so a call reaches a fast model without changing
threads. Only once the model has been busy for ``LONG_S`` does a thread of the intake read in its place: it takes the
next frame, validates its calls, drops those that were cancelled, and sends answers that wait behind the slow call.
Were a thread of its own to read always, a fast model would pay a handover for each frame: the median round trip of one
call of a trivial model is then 58 us and takes two context switches, against 48 us and one here and 43 us without any
thread (20,000 calls over a bare socket pair, the medians of five runs in turn on two processors).

One lock stands for the right to read and to change what was read; nothing of the model runs under it but the
validation of a call.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import chain

from modelserve.frames import Receiver
from modelserve.messages import (
    Answer,
    Call,
    Calls,
    Cancel,
    Check,
    Checked,
    Failure,
    More,
    Part,
    Scrape,
    decode_worker_bound,
)
from modelserve.runtime.interface import FIRST_PARTS, weight_of
from modelserve.runtime.model_metrics import ModelMetrics
from modelserve.runtime.outlet import Outlet
from modelserve.runtime.vital import start_vital
from modelserve.v2.predictor import Parsed

__all__ = ["CANCELLED", "Intake", "Item"]

Item = Call | Parsed | Answer
"""A call as it came, as it was validated, or with its answer because it is not to be run."""

# Nobody reads it: the server keeps the call's place until an answer comes. 499 is nginx's number for such a request.
CANCELLED = Failure(499, "cancelled", "The client has left.")

# The model is busy for long, and the intake's thread takes over, after so many seconds; it looks about as often.
LONG_S = 0.002

# While it is busy, the thread looks so often whether answers wait to be sent; of what arrives it is told at once.
LOOK_MS = 5

# So many times the thread finds nothing to look after, then it sleeps until there is, and an idle worker costs nothing.
RESTS = 50


class Intake:
    """What the server has sent and the model has not begun.

    Args:
        channel: The worker's end, in blocking mode.
        parse: Validates a call; never raises.
        outlet: Where answers wait that are to be sent while the model is busy.
    """

    def __init__(self, channel: socket.socket, parse: Callable[[Call], Parsed | Answer], outlet: Outlet) -> None:
        self._channel = channel
        self._parse = parse
        self._outlet = outlet
        self._metrics = ModelMetrics(outlet)
        self._receiver = Receiver(decode_worker_bound)
        self._lock = threading.Lock()
        self._current: deque[Item] = deque()
        self._ahead: deque[deque[Item]] = deque()
        self._ended = False
        self._running = 0
        self._is_left = False
        self._credit = 0
        self._busy_since = 0.0
        self._rests = 0
        self._is_parked = False
        self._wake = threading.Event()

    def start(self) -> None:
        """Start the thread; it ends with the process, or the process with it."""
        start_vital("intake", self._look_after)

    def next_frame(self) -> int:
        """Wait for the next frame and return how many calls it has, 0 once the server has closed the channel."""
        self._busy_since = 0.0
        with self._lock:
            while not self._ahead:
                if self._ended:
                    return 0
                self._read()
            self._current = self._ahead.popleft()
        self._is_busy()
        return len(self._current)

    def take(self) -> Item:
        """Return the next call of the frame, which runs from now on."""
        with self._lock:
            item = self._current.popleft()
            self._running, self._is_left, self._credit = item.id, False, FIRST_PARTS
            return item

    def take_all(self) -> list[Item]:
        """Return all calls of the frame."""
        with self._lock:
            items = list(self._current)
            self._current.clear()
            return items

    def is_left(self) -> bool:
        """Return whether the running call was cancelled."""
        return self._is_left

    def may_send_part(self) -> bool:
        """Wait until the running call may send a part of its stream; false if it never may."""
        while True:
            with self._lock:
                if self._is_left:
                    return False
                if self._credit > 0:
                    return True
                if self._ended:
                    return False
                self._busy_since = 0.0
                self._read()
                self._is_busy()

    def sent(self, part: Part) -> None:
        """Note that the running call has sent a part of its stream; after a large one, it waits the longer."""
        with self._lock:
            self._credit -= weight_of(part.data)

    def _is_busy(self) -> None:
        self._busy_since = time.monotonic()
        if self._is_parked:  # looked at after the line above, as the thread does it the other way round
            self._wake.set()

    def _read(self, flags: int = 0) -> None:
        count = self._channel.recv_into(self._receiver.buffer(), 0, flags)
        self._ended = not count
        for message in self._receiver.received(count) if count else ():
            if type(message) is Calls and message.calls:
                self._ahead.append(deque(message.calls))
            elif type(message) is Cancel:
                self._cancel(set(message.ids))
            elif type(message) is More and message.id == self._running:
                self._credit += message.parts
            elif type(message) is Check:
                self._check(message.call)
            elif type(message) is Scrape:
                self._metrics.ask()

    def _check(self, call: Call) -> None:
        answer = self._parse(call)
        assert isinstance(answer, Answer), "its operation is to be validated"
        self._outlet.send(Checked(answer))

    def _cancel(self, ids: set[int]) -> None:
        self._is_left = self._is_left or self._running in ids
        for items in (self._current, *self._ahead):
            for place, item in enumerate(items):
                if item.id in ids:
                    items[place] = Answer(item.id, failure=CANCELLED)

    def _look_after(self) -> None:
        """Read, validate and send while the main thread cannot."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        with contextlib.suppress(OSError):  # the server has gone, which the main thread finds out itself
            while True:
                if not self._is_long():
                    self._rest()
                    continue
                self._outlet.flush_old()
                if self._ended:
                    time.sleep(LOOK_MS / 1000)
                elif poll.poll(LOOK_MS):
                    self._read_ahead()
                while self._parse_one():
                    pass

    def _is_long(self) -> bool:
        since = self._busy_since
        return bool(since) and time.monotonic() - since > LONG_S

    def _rest(self) -> None:
        self._rests = 0 if self._busy_since else self._rests + 1
        if self._rests < RESTS:
            time.sleep(LONG_S)
            return
        self._wake.clear()
        self._is_parked = True
        if not self._busy_since:
            self._wake.wait()
        self._is_parked = False
        self._rests = 0

    def _read_ahead(self) -> None:
        # The main thread has the lock while it reads itself, and then the bytes are its own.
        if self._lock.acquire(blocking=False):
            try:
                with contextlib.suppress(BlockingIOError):
                    self._read(socket.MSG_DONTWAIT)
            finally:
                self._lock.release()

    def _parse_one(self) -> bool:
        """Validate the next call that is not yet; return whether there was one."""
        if not self._is_long() or not self._lock.acquire(blocking=False):
            return False
        try:
            for items in chain((self._current,), self._ahead):
                for place, item in enumerate(items):
                    if type(item) is Call:
                        items[place] = self._parse(item)
                        return True
            return False
        finally:
            self._lock.release()
