"""Configures logging once: one handler on standard error that writes text or JSON.

    logger.info("is ready", extra={"deployment": "digits"})
    ->  2026-01-01T00:00:00.000Z INFO modelserve.server is ready deployment=digits

One record is one line, whatever a client or a model put into it: control characters are escaped, so no line can be
forged and no terminal be driven, and long texts are cut. Only a traceback has lines of its own, in text form, each
indented below its record. Writing never raises; a record that cannot be written is lost,
and counted.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

__all__ = ["configure", "lost_records"]

# Libraries of the server that say at "info" what only their developers want to know.
TALKATIVE = ("alembic",)

# Longest message, field and line of a traceback, in characters.
TEXT_LIMIT = 4096

# Longest traceback, in characters: of a longer one the beginning and the end are kept, which say where and what.
TRACEBACK_LIMIT = 32_768

# Control characters (C0, DEL, C1), line and paragraph separators, marks that turn the direction of what follows, and
# lone surrogates, which no encoding can write.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "traceback"}


def configure(level: str, format: Literal["text", "json"] | str, *, worker: str = "") -> None:
    """Send the log to standard error; called again, it replaces what it set up before.

    A record's ``extra`` becomes fields. The extra ``traceback`` is a text that is shown as an exception's traceback.

    Args:
        level: Least level to log: debug, info, warning or error.
        format: "text" for people or "json" for machines.
        worker: Name of this worker, a field of every record; "" in the server.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler()
    handler.setFormatter(_JsonFormatter(worker) if format == "json" else _TextFormatter(worker))
    root.addHandler(handler)
    root.setLevel(level.upper())
    if not worker:
        for name in TALKATIVE:
            logging.getLogger(name).setLevel("WARNING" if level == "info" else level.upper())


def lost_records() -> int:
    """Return how many records this process could not write since the log was configured."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, _Handler))


class _Handler(logging.Handler):
    """Writes to what is standard error at that moment; what goes wrong is nobody's problem but the log's."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        # Closed, full, a terminal that is gone, an object that cannot be shown: a log must not stop what it tells of.
        try:
            self._write(self.format(record) + "\n")
        except Exception:
            self.lost += 1

    def _write(self, text: str) -> None:
        stream = sys.stderr
        if stream is None:  # the process was started without one
            return
        is_plain = stream is sys.__stderr__
        if not is_plain:  # a notebook's, a test's
            stream.write(text)
            stream.flush()
            return
        # Past Python's buffer, in one system call: workers share the pipe, and lines must not be torn.
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(stream.fileno(), data) :]


class _Formatter(logging.Formatter):
    """The parts of a record that both forms have."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = {"worker": worker} if worker else {}

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the record's extra fields, those that are no JSON scalars as text, none over the limit."""
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
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


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {_escape(name)}={_quoted(value)}" for name, value in self.fields(record).items())
        line = f"{_time(record)} {record.levelname} {record.name} {_escape(self.text(record))}{fields}"
        below = (
            f"    {_escape(_cut(text))}" for text in re.split("\r?\n", self.traceback(record).rstrip("\n")) if text
        )
        return "\n".join([line, *below])


class _JsonFormatter(_Formatter):
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
