"""Chooses how an input is read: by what it is, by its suffix, or as it is said to be."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import BinaryIO

from modelserve.batch.interface import Source
from modelserve.batch.lines import JsonLines
from modelserve.batch.parquet import Parquet
from modelserve.batch.table import Table
from modelserve.errors import SettingsError

__all__ = ["FORMATS", "opened"]

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""The format that a suffix stands for."""


def opened(where: str, format: str, stack: contextlib.ExitStack) -> Source:
    """Return the source of a file, or of "-" for standard input; a folder is none.

    Args:
        where: The path.
        format: One of the formats, "" for what the suffix says.
        stack: Closes the file.

    Raises:
        SettingsError: It cannot be opened or understood.
    """
    if where == "-":
        if format not in ("", "jsonl"):
            raise SettingsError(f"--input - is read as JSON lines, not as {format}.")
        return JsonLines(sys.stdin.buffer, None)
    path = Path(where)
    chosen = format or FORMATS.get(path.suffix.lower(), "")
    if not chosen:
        known = ", ".join(FORMATS)
        raise SettingsError(f"--input {where} is none of {known}: say by --format what it is.")
    file = stack.enter_context(_open(path, buffered=chosen != "jsonl"))
    if chosen == "jsonl":
        return JsonLines(file, path)
    return Parquet(file, path) if chosen == "parquet" else Table(file, path, "," if chosen == "csv" else "\t")


def _open(path: Path, *, buffered: bool) -> BinaryIO:
    try:
        return open(path, "rb", buffering=-1 if buffered else 0)
    except OSError as error:
        raise SettingsError(f"--input {path} cannot be read: {error.strerror}.") from error
