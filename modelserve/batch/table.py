"""Reads a table of texts with a header: CSV, or TSV."""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from modelserve.batch.calls import MAX_ROW_BYTES, CallMaker
from modelserve.batch.interface import CHUNK_ROWS
from modelserve.batch.lines import identity_of
from modelserve.batch.rows import BatchError, Row, refused
from modelserve.errors import BadRequest, SettingsError, TooLarge

__all__ = ["Table"]

# Rows are handed over in lists of so many bytes at most, but for the last row.
CHUNK_BYTES = 1024**2

# Behind a quotation mark that is never closed, lines are read once more, up to so many bytes in all.
MOST_AGAIN_BYTES = 1024**3

# What is left of a line that is too long is read and dropped in pieces of this size.
READ_BYTES = 1024**2


class Table:
    """A :class:`modelserve.batch.interface.Source`: one row for each row below the header; an empty line is none.

    Args:
        file: Open for bytes, buffered or not; it is read to its end and left open.
        path: What it is.
        separator: What stands between cells.

    Raises:
        SettingsError: It has no header, or one that names a column twice.
    """

    def __init__(self, file: BinaryIO, path: Path, separator: str) -> None:
        self.base = path.parent
        self.identity = identity_of(file, path)
        self.size = int(self.identity["size"])
        self._lines = _Lines(file)
        self._records = csv.reader(self._lines, delimiter=separator, strict=True)
        self._names = self._header(path)

    @property
    def read(self) -> int:
        """How many bytes have been read."""
        return self._lines.read

    def check(self, make: CallMaker) -> None:
        """Any row can be a call; what is wrong with one is its own error."""

    def rows(self, make: CallMaker, skip: int) -> Iterator[list[Row]]:
        csv.field_size_limit(make.max_row_bytes)  # csv's own limit of 128 KiB is less than a small picture in base64
        self._lines.limit_bytes = make.max_row_bytes
        found = self._found()
        try:
            next(islice(found, skip, skip), None)
            while some := list(self._some(found)):
                yield [make.of_texts(self._names, cells) if isinstance(cells, list) else cells for cells in some]
        except OSError as error:
            raise BatchError(f"The input cannot be read any further: {error.strerror}.") from error

    def _some(self, found: Iterator[list[str] | Row]) -> Iterator[list[str] | Row]:
        began = self.read
        for cells in islice(found, CHUNK_ROWS):
            yield cells
            if self.read - began > CHUNK_BYTES:
                return

    def _found(self) -> Iterator[list[str] | Row]:
        """Yield the cells of each row, or what is wrong with it; the next row begins in the line behind that one."""
        while True:
            self._lines.begin_row()
            try:
                cells = next(self._records, None)
            except csv.Error as error:
                number = self._lines.give_back()
                yield refused(BadRequest(f"Line {number} of the input cannot be read: {error}."))
                continue
            if cells is None:
                return
            if self._lines.is_cut:
                yield refused(TooLarge(f"The row is larger than max_body_bytes, which is {self._lines.limit_bytes}."))
            elif cells:
                yield cells

    def _header(self, path: Path) -> list[str]:
        try:
            names = next(filter(None, self._records), [])
        except csv.Error as error:
            raise SettingsError(f"--input {path} is no table: {error}.") from error
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            wrong = f"names {', '.join(twice)} twice in its header" if twice else "is empty, and needs a header"
            raise SettingsError(f"--input {path} {wrong}.")
        return names


class _Lines:
    """The lines of a file as texts. A byte that is no UTF-8 spoils its own row and not the reading.

    The lines of a row are held until the next one begins, so that all but the first can be read once more: where a
    quotation mark stands alone, they are rows of their own. ``is_cut`` says that a line of the row was longer than
    ``limit_bytes``, and is not whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.limit_bytes = MAX_ROW_BYTES
        self.read = 0
        self.is_cut = False
        self._file = file
        self._number = 0
        self._row: list[bytes] = []
        self._again: deque[bytes] = deque()
        self._more_again = MOST_AGAIN_BYTES

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._line()
        if not line:
            raise StopIteration
        self._number += 1
        self._row.append(line)
        return line.decode(errors="surrogateescape")

    def begin_row(self) -> None:
        """The lines that come belong to the next row."""
        self._row.clear()
        self.is_cut = False

    def give_back(self) -> int:
        """Have all lines of this row but its first read once more, and return the number of the first.

        Raises:
            BatchError: That has been done with too much.
        """
        first = self._number - len(self._row) + 1
        again = self._row[1:]
        self._more_again -= sum(map(len, again))
        if self._more_again < 0:
            raise BatchError(f"The input cannot be read beyond line {first}: quotation marks in it are not closed.")
        self._again.extendleft(reversed(again))
        self._number = first
        return first

    def _line(self) -> bytes:
        line = self._file.readline(self.limit_bytes + 1)
        is_first, self.read = not self.read, self.read + len(line)
        if is_first:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > self.limit_bytes:
            self.is_cut = True
            while not line.endswith(b"\n") and (more := self._file.readline(READ_BYTES)):
                self.read += len(more)
                line = line[: self.limit_bytes] + more[-1:]
        return line
