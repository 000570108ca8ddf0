"""Reads the log of a job: where its last lines begin, and what has been written since, piece by piece.

A log grows while it is read, so no more than a piece of it is ever in memory. Where its middle has left the disk, as
modelserve/jobs/log_limit.py has it, a line says so. Everything here blocks, and is called on a thread.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from modelserve.jobs.log_limit import find_hole
from modelserve.regular_files import open_regular

__all__ = ["PIECE_BYTES", "Lines", "Piece", "Span", "find_span", "read_lines", "read_piece"]

PIECE_BYTES = 256 * 1024

# A longer line is given out in parts, and the last lines are no more bytes than so many for each.
LINE_BYTES = 64 * 1024

# A progress bar goes back to the beginning of its line, which events take for the end of one.
_END = re.compile(r"\r\n|\n|\r")
_END_BYTES = re.compile(rb"\r\n|\n|\r")


class Span(NamedTuple):
    """A part of a log: from byte ``start`` up to byte ``end``, which is not in it."""

    start: int
    end: int


class Piece(NamedTuple):
    """What is to be shown of a part of a log, and the byte behind what it stands for.

    ``is_last`` tells that nothing more will ever stand behind it on its line.
    """

    data: bytes
    end: int
    is_last: bool = False


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


def read_piece(path: Path, span: Span) -> Piece:
    """Return the first piece of a part of a log, no bytes where the part is empty, or there no more."""
    if span.start >= span.end:
        return Piece(b"", span.start)
    try:
        with _opened(path) as file:
            return _piece(file, span)
    except OSError:
        return Piece(b"", span.start)


def _piece(file: BinaryIO, span: Span) -> Piece:
    hole = find_hole(file.fileno())
    last = min(span.end, span.start + PIECE_BYTES)
    if hole is not None and hole.start <= span.start < hole.end:
        return Piece(b"\n... %d bytes of the log were left out ...\n" % (hole.end - hole.start), hole.end, is_last=True)
    if hole is not None and span.start < hole.start:
        last = min(last, hole.start)
    file.seek(span.start)
    data = file.read(last - span.start)
    return Piece(data, span.start + len(data), is_last=hole is not None and last == hole.start)


def read_lines(path: Path, start: int, *, is_over: bool) -> Lines:
    """Return the lines of the next piece of a log from a byte on.

    A last line without an end is left for the next time, unless it is a long one, or nothing more will come.
    """
    end = find_span(path, None).end
    start = min(start, end)  # its end may have been cut off
    data, behind, is_last = read_piece(path, Span(start, end))
    if not (is_last or (is_over and behind >= end)):
        data = data[: _whole(data)]
        behind = start + len(data)
    lines = _END.split(data.decode("utf-8", "replace"))
    return Lines(lines if lines[-1] else lines[:-1], behind)


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(open_regular(path), "rb")


def _whole(data: bytes) -> int:
    """Return how much of a piece can be given out while more may come; a CR at its end may be half a line's end."""
    last = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1))
    if last < 0:
        return len(data) if len(data) >= LINE_BYTES else 0
    return last + 1


def _last_lines(file: BinaryIO, size: int, count: int) -> int:
    """Return where the last lines begin, looked for from the end on; not before what has left the disk."""
    hole = find_hole(file.fileno())
    lowest = max(0 if hole is None else hole.end, size - count * LINE_BYTES)
    position, wanted, after = size, count, b""
    while position > lowest:
        begin = max(lowest, position - PIECE_BYTES)
        file.seek(begin)
        data = file.read(position - begin)
        ends = [match.end() for match in _END_BYTES.finditer(data)]
        is_last = position == size  # the end of the last line begins no further one
        if ends and ends[-1] == len(data) and (is_last or (data.endswith(b"\r") and after == b"\n")):
            ends.pop()
        if len(ends) >= wanted:
            return begin + ends[-wanted]
        position, wanted, after = begin, wanted - len(ends), data[:1]
    return position if wanted else size
