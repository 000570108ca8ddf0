"""Takes records of the log from a worker to the server, among the lines that the worker prints.

    worker: record -> PassedFormatter -> mark, JSON -> standard error = a pipe -> server: taken() -> the same record

The mark is made anew for each worker, of random bits, so that no text of a client that a model prints can pass for a
record.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from modelserve.logs.form import Formatter

__all__ = ["PassedFormatter", "make_mark", "taken"]

# What a model prints has the name of this logger, and its level.
PRINTED = "print"


def make_mark() -> str:
    """Return a new mark."""
    return f"\x1e{secrets.token_hex(16)} "


class PassedFormatter(Formatter):
    """A record for the server, which adds to it whose it is."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = mark

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "created": record.created,
            "msecs": record.msecs,
            "msg": self.text(record),
            "traceback": self.traceback(record),
            "fields": self.fields(record),
        }
        return self._mark + json.dumps(told)


def taken(line: str, mark: str, **whose: Any) -> list[logging.LogRecord]:
    """Return the records of one line that a worker wrote: what it printed, what it passed on, or one behind the other.

    Args:
        line: It, without its end.
        mark: The worker's.
        whose: Fields that say which worker it was.
    """
    printed, marked, passed = line.partition(mark)
    records = []
    if marked and (record := _read(passed, whose)) is not None:
        records.append(record)
    elif marked:  # torn by what another thread has written between
        printed += passed
    if printed.strip():
        records.insert(0, _printed(printed, whose))
    return records


def _printed(text: str, whose: dict[str, Any]) -> logging.LogRecord:
    # As a terminal would show it at last: a bar that is drawn over itself ends in its last state.
    shown = text.rstrip("\r").rpartition("\r")[2]
    told = {"name": PRINTED, "levelno": logging.INFO, "levelname": "INFO", "msg": shown}
    return logging.makeLogRecord({**told, **whose})


def _read(text: str, whose: dict[str, Any]) -> logging.LogRecord | None:
    try:
        told = json.loads(text)
        fields = told.pop("fields")
        return logging.makeLogRecord({**fields, **told, **whose})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
