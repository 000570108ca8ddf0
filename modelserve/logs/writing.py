"""Configures logging: one handler on standard error that writes text or JSON, in a worker one that passes records on.

Writing never raises; a record that cannot be written is lost, and counted. So is one of a flood: of what concerns one
deployment at one level, ``LINES_PER_S`` lines a second are written, and one that says how many were left out.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from modelserve.logs.flow import Flow
from modelserve.logs.form import Formatter, JsonFormatter, TextFormatter
from modelserve.logs.passing import PassedFormatter

__all__ = ["ACCESS", "configure", "left_out", "lost_records"]

# Libraries of the server that say at "info" what only their developers want to know.
TALKATIVE = ("alembic", "opentelemetry", "urllib3")

# The logger of requests: there are as many lines as requests, which who switches it on wants to have.
ACCESS = "modelserve.access_log"


def configure(
    level: str,
    format: Literal["text", "json"] | str,
    *,
    worker: str = "",
    mark: str = "",
    about: Callable[[], Mapping[str, Any]] | None = None,
) -> None:
    """Send the log to standard error; called again, it replaces what it set up before.

    A record's ``extra`` becomes fields. The extra ``traceback`` is a text that is shown as an exception's traceback.

    Args:
        level: Least level to log: debug, info, warning or error.
        format: "text" for people or "json" for machines.
        worker: Name of this worker, a field of every record; "" in the server.
        mark: In a worker that the server hears, what begins each record for it; see passing.py.
        about: Returns further fields for each record.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    handler = _Handler(None if worker else Flow())
    handler.setFormatter(PassedFormatter(mark) if mark else _formatter(format, worker))
    if about is not None:
        handler.addFilter(_About(about))
    root.addHandler(handler)
    root.setLevel(level.upper())
    if not worker:
        for name in TALKATIVE:
            logging.getLogger(name).setLevel("WARNING" if level == "info" else level.upper())


def lost_records() -> int:
    """Return how many records this process did not write since the log was configured."""
    return sum(handler.not_written for handler in logging.getLogger().handlers if isinstance(handler, _Handler))


def left_out(count: int, **fields: Any) -> logging.LogRecord:
    """Return the record that says how many were left out."""
    told = {"name": __name__, "levelno": logging.INFO, "levelname": "INFO"}
    return logging.makeLogRecord(
        {**told, "msg": "%d lines of the log were left out in a second", "args": (count,), **fields}
    )


def _formatter(format: str, worker: str) -> Formatter:
    return JsonFormatter(worker) if format == "json" else TextFormatter(worker)


class _About(logging.Filter):
    """Adds fields to each record that has none of that name."""

    def __init__(self, about: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._about = about

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self._about().items():
            vars(record).setdefault(name, value)
        return True


class _Handler(logging.Handler):
    """Writes to what is standard error at that moment; what goes wrong is nobody's problem but the log's."""

    def __init__(self, flow: Flow | None) -> None:
        super().__init__()
        self._lost = 0
        self._flow = flow

    @property
    def not_written(self) -> int:
        return self._lost + (0 if self._flow is None else self._flow.dropped)

    def emit(self, record: logging.LogRecord) -> None:
        # Closed, full, a terminal that is gone, an object that cannot be shown: a log must not stop what it tells of.
        try:
            if self._flow is None or record.name == ACCESS:
                self._write(self.format(record) + "\n")
            else:
                self._emit_within(self._flow, record)
        except Exception:
            self._lost += 1

    def _emit_within(self, flow: Flow, record: logging.LogRecord) -> None:
        if count := flow.turn(time.monotonic()):
            self._write(self.format(left_out(count)) + "\n")
        source = (record.levelno, getattr(record, "deployment", ""))
        if flow.admits(source):
            text = self.format(record) + "\n"
            flow.spend(source, text.count("\n"))
            self._write(text)

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
