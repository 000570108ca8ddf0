"""Reads a table of texts with a header: CSV, or TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from modelserve.batch.calls import CallMaker
from modelserve.batch.interface import CHUNK_ROWS
from modelserve.batch.lines import identity_of
from modelserve.batch.rows import BatchError, Row
from modelserve.errors import SettingsError

__all__ = ["Table"]

# Rows are handed over in lists of so many bytes at most, but for the last row.
CHUNK_BYTES = 1024**2


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
        self.read = 0
        # A byte that is no UTF-8 spoils its own row and not the reading.
        self._records = csv.reader(self._texts(file), delimiter=separator, strict=True)
        self._names = self._header(path)

    def check(self, make: CallMaker) -> None:
        """Any row can be a call; what is wrong with one is its own error."""

    def rows(self, make: CallMaker, skip: int) -> Iterator[list[Row]]:
        csv.field_size_limit(make.max_row_bytes)  # csv's own limit of 128 KiB is less than a small picture in base64
        found = filter(None, self._records)
        try:
            next(islice(found, skip, skip), None)
            while records := list(self._some(found)):
                yield [make.of_texts(self._names, cells) for cells in records]
        except csv.Error as error:
            line = self._records.line_num
            raise BatchError(f"The input cannot be read beyond line {line}: {error}.") from error
        except OSError as error:
            raise BatchError(f"The input cannot be read any further: {error.strerror}.") from error

    def _some(self, found: Iterator[list[str]]) -> Iterator[list[str]]:
        began = self.read
        for cells in islice(found, CHUNK_ROWS):
            yield cells
            if self.read - began > CHUNK_BYTES:
                return

    def _header(self, path: Path) -> list[str]:
        try:
            names = next(filter(None, self._records), [])
        except csv.Error as error:
            raise SettingsError(f"--input {path} is no table: {error}.") from error
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            wrong = f"names {', '.join(twice)} twice in its header" if twice else "is empty, and needs a header"
            raise SettingsError(f"--input {path} {wrong}.")
        names[0] = names[0].removeprefix("\ufeff")
        return names

    def _texts(self, file: BinaryIO) -> Iterator[str]:
        for line in file:
            self.read += len(line)
            yield line.decode(errors="surrogateescape")
