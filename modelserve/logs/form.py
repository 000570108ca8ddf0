"""How a record of the log reads: as text for people, or as JSON for machines.

One record is one line: control characters are escaped, so no line can be forged and no terminal be driven, and long
texts are cut. Only a traceback has lines of its own, in text form, each indented below its record.
"""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["STANDARD", "Formatter", "JsonFormatter", "TextFormatter"]

# Longest message, field and line of a traceback, in characters.
TEXT_LIMIT = 4096

# Longest traceback, in characters: of a longer one the beginning and the end are kept, which say where and what.
TRACEBACK_LIMIT = 32_768

# Control characters (C0, DEL, C1), line and paragraph separators, marks that turn the direction of what follows, and
# lone surrogates, which no encoding can write.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# What every record has; all else are its fields.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "traceback"}


class Formatter(logging.Formatter):
    """The parts of a record that all forms have.

    Args:
        worker: Name of this worker, a field of every record; "" in the server.
    """

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = {"worker": worker} if worker else {}

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the record's extra fields, those that are no JSON scalars as text, none over the limit."""
        extra = {name: value for name, value in vars(record).items() if name not in STANDARD}
        return {name: _scalar(value) for name, value in {**self._worker, **extra}.items() if not _is_empty(value)}

    def text(self, record: logging.LogRecord) -> str:
        """Return the message, which must come out even where its arguments do not fit it."""
        try:
            return _cut(record.getMessage())
        except Exception as error:
            return _cut(f"{record.msg!s} (its arguments could not be formatted: {type(error).__name__})")

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the traceback, "" where there is none."""
        text = str(getattr(record, "traceback", ""))
        try:
            text += self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        except Exception as error:  # an exception whose own __str__ fails
            text += f"(the traceback could not be formatted: {type(error).__name__})"
        if len(text) <= TRACEBACK_LIMIT:
            return text
        half = TRACEBACK_LIMIT // 2
        return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


class TextFormatter(Formatter):
    """A line of words, and a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {_escape(name)}={_quoted(value)}" for name, value in self.fields(record).items())
        line = f"{_time(record)} {record.levelname} {_escape(record.name)} {_escape(self.text(record))}{fields}"
        below = (
            f"    {_escape(_cut(text))}" for text in re.split("\r?\n", self.traceback(record).rstrip("\n")) if text
        )
        return "\n".join([line, *below])


class JsonFormatter(Formatter):
    """A JSON object on one line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        line = self.fields(record)
        line |= {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        line["message"] = self.text(record)
        traceback = self.traceback(record)
        if traceback:
            line["traceback"] = traceback
        # json writes every character outside ASCII as \uXXXX, and leaves DEL alone.
        return json.dumps(line).replace("\x7f", "\\u007f")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)


def _scalar(value: Any) -> str | int | float | bool:
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and value.bit_length() < 64:
        return value
    try:
        return _cut(str(value))
    except Exception as error:
        return f"({type(value).__name__} whose text raises {type(error).__name__})"


def _quoted(value: Any) -> str:
    text = str(value)
    return _escape(json.dumps(text, ensure_ascii=False)) if re.search(r'[\s"=]', text) else _escape(text)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}... ({len(text) - TEXT_LIMIT} more characters)"


def _escape(text: str) -> str:
    return _UNSAFE.sub(_escaped, text) if not text.isprintable() else text


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
