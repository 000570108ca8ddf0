"""Keeps the log of a job small: what was printed first and last stays, and what lies between leaves the disk.

    a training's process --append--> log --every half second, once it takes too much--> 8 MiB | hole | 8 MiB
                                         --at the end------------------------------/

The process writes the file itself, so the hole is made behind its back: each byte keeps its place, and who follows the
log goes on where it was. Readers tell of the hole: see ``find_hole``. Where a file system knows no holes, the end of
the file is cut off instead. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from pathlib import Path
from typing import NamedTuple

__all__ = ["KEPT_BYTES", "LIMIT_BYTES", "LOOK_S", "Hole", "find_hole", "shorten"]

# A log that takes more than this of the disk is shortened to twice the next.
LIMIT_BYTES = 32 * 1024**2
KEPT_BYTES = 8 * 1024**2

# How often it is looked; meanwhile a log grows as fast as its training writes.
LOOK_S = 0.5

# From <linux/falloc.h>; see fallocate(2). Python's posix_fallocate only makes files larger.
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02

_BLOCK_BYTES = 4096


class Hole(NamedTuple):
    """What has left the disk: from byte ``start`` up to byte ``end``, which is there again."""

    start: int
    end: int


def shorten(path: Path) -> bool:
    """Shorten a log that takes too much of the disk; tell whether it did. What is no regular file is left alone."""
    try:
        end = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is not there yet, or no more
        return False
    try:
        found = os.fstat(end)
        if not stat.S_ISREG(found.st_mode) or found.st_blocks * 512 <= LIMIT_BYTES:
            return False
        _make_hole(end, Hole(KEPT_BYTES, (found.st_size - KEPT_BYTES) // _BLOCK_BYTES * _BLOCK_BYTES))
        return True
    finally:
        os.close(end)


def find_hole(end: int) -> Hole | None:
    """Return what has left the disk of a log that is open, None where all of it is there. It moves the file's place."""
    size = os.fstat(end).st_size
    with contextlib.suppress(OSError):  # a file system that knows no holes
        start = os.lseek(end, 0, os.SEEK_HOLE)
        if start < size:
            return Hole(start, os.lseek(end, start, os.SEEK_DATA))
    return None


def _make_hole(end: int, hole: Hole) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    offset, length = ctypes.c_int64(hole.start), ctypes.c_int64(hole.end - hole.start)
    if library.fallocate64(end, _PUNCH_HOLE | _KEEP_SIZE, offset, length):
        os.ftruncate(end, KEPT_BYTES)
