"""Configures logging: one handler on standard error that writes text or JSON, in a worker one that passes records on.

Writing never raises; a record that cannot be written is lost, and counted. So is one of a flood: of what concerns one
deployment at one level, ``LINES_PER_S`` lines a second are written, and one that says how many were left out. In a
server nobody who logs waits for the reader of standard error: see :func:`aside` and backlog.py.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from modelserve.held import Bound
from modelserve.logs.backlog import LIMIT_BYTES, Backlog, write_lines
from modelserve.logs.flow import Flow
from modelserve.logs.form import Formatter, JsonFormatter, TextFormatter
from modelserve.logs.passing import PassedFormatter

if TYPE_CHECKING:  # it loads asyncio, which most workers do without
    from modelserve.supervised import Supervisor

__all__ = [
    "ACCESS",
    "LEFT_OUT",
    "aside",
    "borrowed",
    "bounds",
    "configure",
    "left_out",
    "lost_records",
    "not_taken",
    "say",
]

# Libraries of the server that say at "info" what only their developers want to know.
TALKATIVE = ("alembic", "opentelemetry", "urllib3")

# The logger of requests: there are as many lines as requests, which who switches it on wants to have.
ACCESS = "modelserve.access_log"

LEFT_OUT = "%d lines of the log were left out in a second"


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
    for old in _handlers():
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


@contextlib.contextmanager
def borrowed(level: str, format: str) -> Iterator[None]:
    """Send the log to standard error inside the block, where the program itself has not set up any logging.

    Of several blocks that overlap, the first sets it up and the last to end takes it away.
    """
    root = logging.getLogger()
    own = next(iter(_handlers()), None)
    if own is None and not root.handlers:
        before = root.level
        configure(level, format)
        own = next(iter(_handlers()))
        own.give_back = lambda: root.setLevel(before)
    if own is None or own.give_back is None:
        yield
        return
    own.borrowers += 1
    try:
        yield
    finally:
        own.borrowers -= 1
        if not own.borrowers:
            root.removeHandler(own)
            own.give_back()


def lost_records() -> int:
    """Return how many records this process did not write since the log was configured."""
    return sum(handler.not_written for handler in _handlers())


@contextlib.contextmanager
def aside(supervisor: Supervisor) -> Iterator[None]:
    """Write the log on a thread of its own inside the block.

    What waits at the end is written first, but for seconds at most: its reader may not read. Nothing is written later.

    Args:
        supervisor: Runs the thread.
    """
    with contextlib.ExitStack() as stack:
        for handler in _handlers():
            handler.write_aside(supervisor)
            stack.callback(handler.end_aside)
        yield


def bounds() -> list[Bound]:
    """Return how much of the log waits to be written, and how much may."""
    return [handler.bound for handler in _handlers() if handler.bound is not None]


def say(text: str) -> None:
    """Write lines to standard error as they are, among those of the log."""
    for handler in _handlers():
        handler.say(text)


def left_out(count: int, **fields: Any) -> logging.LogRecord:
    """Return the record that says how many were left out."""
    told = {"name": __name__, "levelno": logging.INFO, "levelname": "INFO"}
    return logging.makeLogRecord({**told, "msg": LEFT_OUT, "args": (count,), **fields})


def not_taken(count: int) -> logging.LogRecord:
    """Return the record that says how many were left out, since nobody took them."""
    told = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord(
        {
            **told,
            "msg": "%d records of the log were left out, since they were not read or written in time",
            "args": (count,),
        }
    )


def _handlers() -> list[_Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]


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
        self._backlog: Backlog[bytes] | None = None
        self.borrowers = 0
        self.give_back: Callable[[], None] | None = None  # where it is only borrowed

    @property
    def not_written(self) -> int:
        waited = 0 if self._backlog is None else self._backlog.dropped
        return self._lost + waited + (0 if self._flow is None else self._flow.dropped)

    @property
    def bound(self) -> Bound | None:
        return None if self._backlog is None else self._backlog.bound

    def write_aside(self, supervisor: Supervisor) -> None:
        def write(lines: Sequence[bytes]) -> int:
            return 0 if sys.__stderr__ is None else write_lines(sys.__stderr__.fileno(), lines)

        def told(count: int) -> bytes:
            return f"{self.format(not_taken(count))}\n".encode()

        self._backlog = Backlog(supervisor, "log", Bound("logs", LIMIT_BYTES), write=write, told=told)
        self._backlog.start()

    def end_aside(self) -> None:
        if self._backlog is not None and self._backlog.close():
            self._lost += self._backlog.dropped
            self._backlog = None

    def say(self, text: str) -> None:
        self.acquire()
        try:
            self._write(text + "\n")
        except Exception:
            self._lost += 1
        finally:
            self.release()

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
        # Nothing that a model says is this very object.
        if record.msg is LEFT_OUT or flow.admits(source):
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
        if self._backlog is not None:
            self._backlog.put(data, len(data))
        else:
            self._lost += write_lines(stream.fileno(), [data])
