"""A program on a terminal of its own, for tests that look at what a person sees and press Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cli.program import environment

__all__ = ["Terminal", "terminal"]

# What moves the cursor and sets colours.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")

# Makes the terminal the one whose Ctrl-C this program gets, and becomes that program. Who started the tests in the
# background may have had Ctrl-C ignored.
_IN_FRONT = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

WITHIN_S = 40.0


class Terminal:
    """What a program has written to its terminal, and the keys it gets from there."""

    def __init__(self, program: subprocess.Popen[bytes], ours: int) -> None:
        self.program = program
        self._ours = ours
        self._written = b""

    @property
    def shown(self) -> str:
        """All that was written so far, without what moves the cursor."""
        return _CONTROL.sub("", self._written.decode("utf-8", "replace"))

    def wait_for(self, text: str) -> None:
        """Read until the terminal shows a text that it has not shown before the last call."""
        start, deadline = len(self._written), time.monotonic() + WITHIN_S
        while text not in _CONTROL.sub("", self._written[start:].decode("utf-8", "replace")):
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            assert self._read(0.1), f"ended without {text!r}: {self.shown!r}"

    def press(self, keys: str) -> None:
        """Type something: "\\x03" is Ctrl-C."""
        os.write(self._ours, keys.encode())

    def wait(self) -> int:
        """Read to the end and return the exit status."""
        deadline = time.monotonic() + WITHIN_S
        while self._read(0.1):
            assert time.monotonic() < deadline, f"still runs: {self.shown!r}"
        return self.program.wait(10)

    def _read(self, wait_s: float) -> bool:
        """Read what is there; tell whether the other end is still open."""
        if not select.select([self._ours], [], [], wait_s)[0]:
            return True
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # how Linux tells that the other end is closed
            return False
        self._written += piece
        return bool(piece)


@contextlib.contextmanager
def terminal(*arguments: str, folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Run ``modelserve`` with these arguments as the only program of a terminal of 120 columns."""
    ours, its = pty.openpty()
    own = {"TERM": "xterm", "COLUMNS": "120", **(variables or {})}
    program = subprocess.Popen(
        [sys.executable, "-c", _IN_FRONT, sys.executable, "-m", "modelserve", *arguments],
        cwd=folder,
        env=environment(folder, own),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    try:
        yield Terminal(program, ours)
    finally:
        if program.poll() is None:
            program.send_signal(signal.SIGKILL)
        program.wait(10)
        os.close(ours)
