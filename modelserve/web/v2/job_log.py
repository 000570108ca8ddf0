"""Reads the log of a job: where its last lines begin, and what has been written since, piece by piece.

A log may be of any size and grows while it is read, so no more than a piece of it is ever in memory. Everything here
blocks, and is called on a thread.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from modelserve.regular_files import open_regular

__all__ = ["PIECE_BYTES", "Lines", "Span", "find_span", "read_lines", "read_piece"]

PIECE_BYTES = 256 * 1024

# A longer line is given out in parts.
LINE_BYTES = 64 * 1024

# A progress bar goes back to the beginning of its line, which events take for the end of one.
_END = re.compile(r"\r\n|\n|\r")


class Span(NamedTuple):
    """A part of a log: from byte ``start`` up to byte ``end``, which is not in it."""

    start: int
    end: int


class Lines(NamedTuple):
    """Whole lines without their ends, and the byte behind them."""

    lines: list[str]
    end: int


def find_span(path: Path, tail: int | None) -> Span:
    """Return where the last ``tail`` lines of a log lie now, all of it for None. A log that is not there is empty.

    So is what a training has put in the place of its log, such as a link to somebody else's file.
    """
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            return Span(0 if tail is None else _last_lines(file, size, tail), size)
    except OSError:
        return Span(0, 0)


def read_piece(path: Path, span: Span) -> bytes:
    """Return the first piece of a part of a log, nothing where the part is empty, or there no more."""
    if span.start >= span.end:
        return b""
    try:
        with _opened(path) as file:
            file.seek(span.start)
            return file.read(min(PIECE_BYTES, span.end - span.start))
    except OSError:
        return b""


def read_lines(path: Path, start: int, *, is_over: bool) -> Lines:
    """Return the lines of the next piece of a log from a byte on.

    A last line without an end is left for the next time, unless it is a long one, or nothing more will come.
    """
    end = find_span(path, None).end
    data = read_piece(path, Span(start, end))
    if not (is_over and start + len(data) >= end):
        data = data[: _whole(data)]
    lines = _END.split(data.decode("utf-8", "replace"))
    return Lines(lines if lines[-1] else lines[:-1], start + len(data))


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(open_regular(path), "rb")


def _whole(data: bytes) -> int:
    """Return how much of a piece can be given out while more may come; a CR at its end may be half a line's end."""
    last = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1))
    if last < 0:
        return len(data) if len(data) >= LINE_BYTES else 0
    return last + 1


def _last_lines(file: BinaryIO, size: int, count: int) -> int:
    """Return where the last lines begin, looked for from the end on."""
    if not count:
        return size
    position, wanted = size, count
    while position:
        begin = max(0, position - PIECE_BYTES)
        file.seek(begin)
        data = file.read(position - begin)
        if position == size and data.endswith(b"\n"):
            data = data[:-1]  # the end of the last line begins no further one
        found = data.count(b"\n")
        if found >= wanted:
            return begin + _nth_from_end(data, wanted) + 1
        wanted -= found
        position = begin
    return 0


def _nth_from_end(data: bytes, count: int) -> int:
    index = len(data)
    for _ in range(count):
        index = data.rfind(b"\n", 0, index)
    return index
