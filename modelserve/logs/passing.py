"""Takes records of the log from a worker to the server, among the lines that the worker prints.

    worker: record -> PassedFormatter -> mark, JSON -> standard error = a pipe -> server: taken() -> the same record

The mark is made anew for each worker, of random bits, so that no text of a client that a model prints can pass for a
record. The model itself can find it: what bears the mark and is no record of ours is taken for text.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

from modelserve.logs.form import STANDARD, Formatter

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
    """Return the record that a worker has passed on, None for anything else: a model may have written it."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of too many digits; too deep
        return None
    if not isinstance(told, dict) or not all(name in told and fits(told[name]) for name, fits in _PARTS.items()):
        return None
    fields = {name: value for name, value in told["fields"].items() if name not in STANDARD}
    return logging.makeLogRecord({**fields, **{name: told[name] for name in _PARTS if name != "fields"}, **whose})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_level(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 2 * logging.CRITICAL


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 40 and value.isprintable()


# What a record that is passed on has, and how to tell that it is so. A time is one that a calendar has.
_PARTS: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "levelno": _is_level,
    "levelname": _is_name,
    "created": lambda value: isinstance(value, float) and 0 <= value < 1e11,
    "msecs": lambda value: isinstance(value, float | int) and 0 <= value < 1000,
    "msg": _is_text,
    "traceback": _is_text,
    "fields": lambda value: isinstance(value, dict),
}
