"""Reads a Parquet file, by pyarrow, in batches of records; an argument whose cell is null is not given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from modelserve.batch.calls import CallMaker
from modelserve.batch.interface import CHUNK_ROWS
from modelserve.batch.lines import identity_of
from modelserve.batch.rows import BatchError, Row, refused
from modelserve.errors import BadRequest, SettingsError

__all__ = ["Parquet"]

# Rows are decoded, and handed over, in lists of about so many bytes at most.
CHUNK_BYTES = 1024**2


# What pyarrow raises for a cell that is no value of Python's: a text that is no UTF-8, a date behind the year 9999.
_NO_VALUE = (ValueError, OverflowError, NotImplementedError)


class Parquet:
    """A :class:`modelserve.batch.interface.Source`: one row for each record.

    Args:
        file: Open for bytes; it is read to its end and left open.
        path: What it is.

    Raises:
        SettingsError: pyarrow is not installed, or the file is not Parquet.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.base = path.parent
        self.identity = identity_of(file, path)
        self.read = 0
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            sentence = "Parquet needs a package that is not installed: pip install 'modelserve[batch]'."
            raise SettingsError(sentence) from error
        self._wrong = (pyarrow.ArrowException, OSError)
        try:
            self._file = pyarrow.parquet.ParquetFile(file)
        except self._wrong as error:
            raise SettingsError(f"--input {path} is no Parquet file: {error}.") from error
        self.size = int(self._file.metadata.num_rows)

    def check(self, make: CallMaker) -> None:
        """Any row can be a call; what is wrong with one is its own error."""

    def rows(self, make: CallMaker, skip: int) -> Iterator[list[Row]]:
        for batch in self._batches():
            self.read += batch.num_rows
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            rest, skip = batch.slice(skip), 0
            yield _rows(make, rest)

    def _batches(self) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(batch_size=self._batch_rows(), use_threads=False)
        except self._wrong as error:
            raise BatchError(f"The input cannot be read any further: {error}.") from error

    def _batch_rows(self) -> int:
        about = self._file.metadata
        size: int = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        return max(1, min(CHUNK_ROWS, CHUNK_BYTES * self.size // max(1, size)))


def _rows(make: CallMaker, batch: Any) -> list[Row]:
    try:
        return [make.of_values(_given(record)) for record in batch.to_pylist()]
    except _NO_VALUE:
        return [_row(make, batch.slice(number, 1)) for number in range(batch.num_rows)]


def _row(make: CallMaker, record: Any) -> Row:
    try:
        return make.of_values(_given(record.to_pylist()[0]))
    except _NO_VALUE as error:
        return refused(BadRequest(f"The record has a value that Python cannot hold: {error}."))


def _given(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}
