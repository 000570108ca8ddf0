"""Reads JSON lines: from a file, or from a pipe as they come."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from modelserve.batch.calls import CallMaker
from modelserve.batch.interface import CHUNK_ROWS
from modelserve.batch.rows import BatchError, Row, refused
from modelserve.errors import TooLarge

__all__ = ["JsonLines", "identity_of"]

BLOCK_BYTES = 64 * 1024


class JsonLines:
    """A :class:`modelserve.batch.interface.Source`: one row for each line; one of white space alone is none.

    Args:
        file: Open for bytes, unbuffered; it is read to its end and left open.
        path: What it is, None for a pipe.
    """

    def __init__(self, file: BinaryIO, path: Path | None) -> None:
        self._file = file
        self.base = Path() if path is None else path.parent
        self.size = 0 if path is None else os.fstat(file.fileno()).st_size
        self.read = 0
        self.identity = {"pipe": True} if path is None else identity_of(file, path)

    def check(self, make: CallMaker) -> None:
        """Any row can be a call; what is wrong with one is its own error."""

    def rows(self, make: CallMaker, skip: int) -> Iterator[list[Row]]:
        for lines in self._lines(make.max_row_bytes):
            for start in range(0, len(lines), CHUNK_ROWS):
                some = lines[start : start + CHUNK_ROWS]
                self.read += sum(map(len, some)) + len(some)
                found = [line for line in some if line and not line.isspace()]
                if skip < len(found):
                    yield [_row(make, line) for line in found[skip:]]
                skip = max(0, skip - len(found))

    def _lines(self, limit: int) -> Iterator[list[bytes]]:
        """Yield lines as they come; of one over the limit only its beginning is held, which is over the limit too."""
        pieces: list[bytes] = []
        held, block = 0, self._block()
        while (
            block
            and len(block) < len(codecs.BOM_UTF8)
            and codecs.BOM_UTF8.startswith(block)
            and (rest := self._block())
        ):
            block += rest
        if block.startswith(codecs.BOM_UTF8):
            self.read += len(codecs.BOM_UTF8)
            block = block[len(codecs.BOM_UTF8) :] or self._block()
        while block:
            first, *more = block.split(b"\n")
            if held <= limit:
                pieces.append(first)
                held += len(first)
            if more:
                yield [b"".join(pieces), *more[:-1]]
                pieces, held = [more[-1]], len(more[-1])
            block = self._block()
        if held:
            yield [b"".join(pieces)]

    def _block(self) -> bytes:
        try:
            return os.read(self._file.fileno(), BLOCK_BYTES)
        except OSError as error:
            raise BatchError(f"The input cannot be read any further: {error.strerror}.") from error


def identity_of(file: BinaryIO, path: Path) -> dict[str, Any]:
    """Return what tells a file from another one, or from what it was before it was changed."""
    about = os.fstat(file.fileno())
    return {"name": path.name, "size": about.st_size, "mtime_ns": about.st_mtime_ns}


def _row(make: CallMaker, line: bytes) -> Row:
    if len(line) > make.max_row_bytes:
        return refused(TooLarge(f"The row is larger than max_body_bytes, which is {make.max_row_bytes}."))
    return make.of_json(line)
