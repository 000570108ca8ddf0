"""The worker's way out: answers are gathered for about a millisecond, so that fast calls share frames.

    answers, parts --> Outlet --> channel

Any thread may use it. What is gathered is sent before whatever is sent at once, so nothing overtakes an answer.
"""

from __future__ import annotations

import socket
import threading
import time

from modelserve.frames import encode
from modelserve.messages import Answer, Answers, Checked, Failed, Part, Ready, Scraped, Stage

__all__ = ["Outlet"]

# Answers that are ready wait this long for the next, so that fast calls share system calls.
GATHER_NS = 1_000_000

# An answer of this size is sent at once, and not held until others have joined it.
LARGE_BYTES = 1 << 20


class Outlet:
    """Sends to the server; blocks while the channel is full.

    Args:
        channel: The worker's end, in blocking mode.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._since = 0
        self._last = 0

    def begin(self) -> None:
        """Say that the work on the next answers begins now, unless some are gathered already."""
        if not self._answers:
            self._since = time.monotonic_ns()

    def add(self, answer: Answer) -> None:
        """Take an answer, and send what is gathered once that is due."""
        now = time.monotonic_ns()
        with self._lock:
            self._answers.append(answer)
            self._last = now
            if now - self._since > GATHER_NS or len(answer.body) > LARGE_BYTES:
                self._flush()

    def gather(self, answer: Answer) -> None:
        """Take an answer that the caller will flush in time; a large one is sent at once, with all that is gathered."""
        with self._lock:
            self._answers.append(answer)
            self._last = time.monotonic_ns()
            if len(answer.body) > LARGE_BYTES:
                self._flush()

    def flush(self) -> None:
        """Send what is gathered."""
        with self._lock:
            self._flush()

    def flush_old(self) -> None:
        """Send what is gathered if it has waited long enough; for a thread that looks after one that is busy."""
        if self._answers and time.monotonic_ns() - self._last > GATHER_NS:
            self.flush()

    def send(self, message: Ready | Failed | Stage | Part | Checked | Scraped) -> None:
        """Send a message at once."""
        with self._lock:
            self._flush()
            self._send(message)

    def send_parts(self, parts: list[Part]) -> None:
        """Send small parts at once, in as few system calls as they need."""
        with self._lock:
            self._flush()
            self._channel.sendall(b"".join(buffer for part in parts for buffer in encode(part)))

    def _flush(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            busy_ns, self._since = self._last - self._since, self._last
            self._send(Answers(answers, busy_ns))

    def _send(self, message: Ready | Failed | Stage | Part | Checked | Scraped | Answers) -> None:
        for buffer in encode(message):
            self._channel.sendall(buffer)
