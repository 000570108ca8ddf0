"""The standard streams: any text can be written to them, and a server lives on where they are closed, full or gone.

Nobody reads them then, but clients are waiting.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

__all__ = ["flush", "standing", "unheard", "write_anything"]

# What a stream that is closed, full or gone raises.
GONE = (OSError, ValueError)


@contextlib.contextmanager
def standing() -> Iterator[None]:
    """Have all three standard streams open inside the block, and nothing left in them that cannot be written after it.

    One that was closed leads nowhere: otherwise the next file, or socket, to be opened would take its number, and what
    a worker prints would go into it.
    """
    for number in (0, 1, 2):
        _open(number)
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            try:
                stream.flush()
            except GONE:  # Python tries again at exit, and would report the failure as the program's
                with contextlib.suppress(*GONE):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_anything() -> None:
    """Have what the encoding of the standard output cannot write, such as "ü" in ASCII, be written as what can."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # another one is a test's
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what waits to be written to the standard output, so that its failure is not told at exit by a traceback."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let what is said inside the block be lost where it cannot be written."""
    with contextlib.suppress(*GONE):
        yield


def _open(number: int) -> None:
    """Lead a standard stream that is closed to nowhere."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number, inheritable=True)
            os.close(null)
        else:
            os.set_inheritable(number, True)
