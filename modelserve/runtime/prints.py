"""What a model prints: written line by line, and lost without a word where it cannot be written.

A log disk that is full, or a pipe whose reader has gone, makes ``print`` raise, and with it every call of a model that
prints. So the standard streams of a worker take what they are given, whatever becomes of it.
"""

from __future__ import annotations

import io
import sys
from typing import Any

__all__ = ["print_anyway"]


class _Sink(io.FileIO):
    """A descriptor that takes everything."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def print_anyway() -> None:
    """Put such streams in the place of this process's standard output and standard error."""
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]


def _stream(descriptor: int) -> io.TextIOWrapper:
    sink = io.BufferedWriter(_Sink(descriptor, "w", closefd=False))
    return io.TextIOWrapper(sink, encoding="utf-8", errors="backslashreplace", line_buffering=True)
