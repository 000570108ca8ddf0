"""The worker's way out: answers are gathered for about a millisecond, so that fast calls share frames.

    answers, parts --> Outlet --> channel

Any thread may use it. What is gathered is sent before whatever is sent at once, so nothing overtakes an answer.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import NoReturn

from modelserve.frames import HEAD_LIMIT_BYTES, START_LIMIT_BYTES, Body, encode
from modelserve.messages import Answer, Answers, Checked, Failed, Failure, FolderGone, Part, Ready, Scraped, Stage

__all__ = ["Outlet", "end_forked"]

logger = logging.getLogger(__name__)

# The exit status of a child that the model has forked and not ended.
FORKED_EXIT = 74

# What cannot be written as a frame: a text with lone surrogates, or more than the server takes.
UNSENDABLE = (UnicodeEncodeError, OverflowError)

# Answers that are ready wait this long for the next, so that fast calls share system calls.
GATHER_NS = 1_000_000

# Answers of this size together are sent at once, and not held until others have joined them.
LARGE_BYTES = 1 << 20

Message = Ready | Failed | Stage | Part | Checked | Scraped | FolderGone | Answers


def end_forked() -> NoReturn:
    """End a child that the model has forked, without what Python does at exit: that is for the parent to do."""
    logger.warning("a process that the model has forked came back from it, and ends; end it with os._exit there")
    logging.shutdown()
    os._exit(FORKED_EXIT)


class Outlet:
    """Sends to the server; blocks while the channel is full.

    Args:
        channel: The worker's end, in blocking mode.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel: socket.socket | _Left = channel
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._bytes = 0
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
            self._bytes += len(answer.body)
            self._last = now
            if now - self._since > GATHER_NS or self._bytes > LARGE_BYTES:
                self._flush()

    def gather(self, answer: Answer) -> None:
        """Take an answer that the caller will flush in time; a large one is sent at once, with all that is gathered."""
        with self._lock:
            self._answers.append(answer)
            self._bytes += len(answer.body)
            self._last = time.monotonic_ns()
            if self._bytes > LARGE_BYTES:
                self._flush()

    def flush(self) -> None:
        """Send what is gathered."""
        with self._lock:
            self._flush()

    def flush_old(self) -> None:
        """Send what is gathered if it has waited long enough; for a thread that looks after one that is busy."""
        if self._answers and time.monotonic_ns() - self._last > GATHER_NS:
            self.flush()

    def send(self, message: Ready | Failed | Stage | Part | Checked | Scraped | FolderGone) -> None:
        """Send a message at once."""
        with self._lock:
            self._flush()
            self._send(message)

    def leave(self) -> None:
        """Never send again: this is a child that the model has forked, and only its parent speaks for the worker.

        A child that comes back from the model, and would answer its parent's call, ends.
        """
        self._channel.close()
        self._channel = _Left()
        self._lock = threading.Lock()  # whoever has the other is not here
        self._bytes = LARGE_BYTES + 1  # so that the next answer is to be sent at once

    def send_parts(self, parts: list[Part]) -> None:
        """Send small parts at once, in as few system calls as they need."""
        with self._lock:
            self._flush()
            self._channel.sendall(b"".join(buffer for part in parts for buffer in encode(part)))

    def _flush(self) -> None:
        if self._answers:
            answers, self._answers, self._bytes = self._answers, [], 0
            busy_ns, self._since = self._last - self._since, self._last
            self._send(Answers(answers, busy_ns))

    def _send(self, message: Message) -> None:
        for buffer in _encoded(message):
            self._channel.sendall(buffer)


class _Left:
    """Takes the channel's place in a child of the worker."""

    def sendall(self, data: object) -> None:
        """End the process."""
        end_forked()

    def close(self) -> None:
        """Nothing is open."""


def _encoded(message: Message) -> list[Body]:
    """Return the frame of a message, or frames with what can be sent of it and failures for the rest."""
    try:
        return encode(message, START_LIMIT_BYTES if isinstance(message, Ready | Failed) else HEAD_LIMIT_BYTES)
    except UNSENDABLE as error:
        if isinstance(message, Answers) and len(message.answers) > 1:
            each_ns = message.busy_ns // len(message.answers)
            return [buffer for answer in message.answers for buffer in _encoded(Answers([answer], each_ns))]
        return encode(_instead(message, error), HEAD_LIMIT_BYTES)


def _instead(message: Message, error: Exception) -> Message:
    """Return what is sent in the place of a message that cannot be."""
    failure = Failure(500, "bad_answer", "The model's answer cannot be sent.", log=f"it cannot be sent: {error}")
    if isinstance(message, Answers):
        return Answers([Answer(message.answers[0].id, failure=failure)], message.busy_ns)
    if isinstance(message, Checked):
        return Checked(Answer(message.answer.id, failure=failure))
    if isinstance(message, Part):
        return Part(message.id, last=True, failure=failure)
    if isinstance(message, Scraped):
        return Scraped(dropped=sum(len(family.samples) for family in message.families))
    raise error
