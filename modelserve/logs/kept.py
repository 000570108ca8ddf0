"""Keeps what the log says of each deployment: the last lines in memory, all of them in a file that is rotated.

    record with a field "deployment" -> KeptLogs -> the last lines, by number         GET .../log?tail=, ?follow=1
                                                 -> FOLDER/NAME.log, NAME.log.1 ...   GET .../log
                                                 -> the last errors                   modelserve status

It is a handler of logging, for the time that a server runs. A file that cannot be written costs nothing but itself.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from modelserve.logs.flow import LINES_PER_S, Flow
from modelserve.logs.form import TextFormatter
from modelserve.logs.writing import ACCESS, left_out

__all__ = ["Fault", "KeptLogs", "Numbered"]

logger = logging.getLogger(__name__)

# A file of this size is put aside; so many that were put aside are kept.
FILE_BYTES = 10 * 1024**2
FILES = 4

# Errors of one deployment that are kept for its operator.
FAULTS = 5


class Numbered(NamedTuple):
    """Lines of a deployment's log, and the number of the last one there is, which grows by one with each."""

    lines: list[str]
    last: int


class Fault(NamedTuple):
    """An error that the log told of; ``worker`` and ``request_id`` are "" where it concerned none."""

    when: datetime
    deployment: str
    worker: str
    request_id: str
    message: str


class KeptLogs(logging.Handler):
    """The logs of all deployments of one server.

    Args:
        names: Of the deployments.
        lines: Most lines of each that are held in memory.
        folder: Where the files go; it is there, and this server's alone. None for no files.
    """

    def __init__(self, names: Iterable[str], *, lines: int, folder: Path | None = None) -> None:
        super().__init__()
        self.setFormatter(TextFormatter())
        self._flow = Flow(LINES_PER_S)
        self._logs = {name: _Log(lines, None if folder is None else folder / f"{name}.log") for name in names}

    def emit(self, record: logging.LogRecord) -> None:
        log = self._logs.get(str(getattr(record, "deployment", "")))
        if log is None or record.name == ACCESS:
            return
        with contextlib.suppress(Exception):  # as that of standard error: a log must not stop what it tells of
            if (count := self._flow.turn(time.monotonic())) and not record.name.startswith("modelserve.logs"):
                log.add(self.format(left_out(count)))
            if self._flow.admits(log):
                text = self.format(record)
                self._flow.spend(log, text.count("\n") + 1)
                log.add(text)
            if record.levelno >= logging.ERROR:
                log.faults.append(_fault(record))

    def tail(self, name: str, count: int) -> Numbered:
        """Return the last lines of a deployment, as far as they are in memory."""
        with self._held(name) as log:
            return Numbered(list(log.lines)[max(0, len(log.lines) - count) :], log.last)

    def since(self, name: str, number: int) -> Numbered:
        """Return the lines behind the one of this number, as far as they are in memory."""
        with self._held(name) as log:
            return Numbered(list(log.lines)[-(log.last - number) :] if number < log.last else [], log.last)

    def files(self, name: str) -> list[IO[bytes]]:
        """Return the files of a deployment, opened, the oldest first; they are the caller's to close."""
        with self._held(name) as log:
            return log.opened()

    def faults(self) -> list[Fault]:
        """Return the last errors, the newest first."""
        with contextlib.ExitStack() as stack:
            logs = [stack.enter_context(self._held(name)) for name in self._logs]
            return sorted((fault for log in logs for fault in log.faults), reverse=True)

    def close(self) -> None:
        """Close the files."""
        for name in self._logs:
            with self._held(name) as log:
                log.close()
        super().close()

    @contextlib.contextmanager
    def _held(self, name: str) -> Iterator[_Log]:
        self.acquire()
        try:
            yield self._logs[name]
        finally:
            self.release()


class _Log:
    """The log of one deployment. Its lines are numbered on from the time at which it was made, so that a client that
    comes back after a restart of the server does not miss any."""

    def __init__(self, lines: int, path: Path | None) -> None:
        self.lines = deque[str](maxlen=lines)
        self.last = int(time.time()) * 1_000_000
        self.faults = deque[Fault](maxlen=FAULTS)
        self._path = path
        self._file = None if path is None else _File(path)

    def add(self, text: str) -> None:
        lines = text.split("\n")
        self.lines.extend(lines)
        self.last += len(lines)
        if self._file is not None:
            self._file.emit(logging.makeLogRecord({"msg": text}))

    def opened(self) -> list[IO[bytes]]:
        if self._path is None:
            return []
        names = [*(f"{self._path}.{number}" for number in range(FILES, 0, -1)), str(self._path)]
        found: list[IO[bytes]] = []
        for name in names:
            with contextlib.suppress(OSError):
                found.append(open(name, "rb"))  # noqa: SIM115 - the caller closes them
        return found

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _File(logging.handlers.RotatingFileHandler):
    """A file that is put aside once it is large; what cannot be written is left out, and told of once."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True, errors="backslashreplace"
        )
        self._is_broken = False

    def emit(self, record: logging.LogRecord) -> None:
        was_broken, self._is_broken = self._is_broken, False
        super().emit(record)
        if self._is_broken and not was_broken:
            logger.warning("the file %s cannot be written, lines are left out there", self.baseFilename)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        self._is_broken = True

    def _open(self) -> Any:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_CLOEXEC, 0o600)

        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=private)


def _fault(record: logging.LogRecord) -> Fault:
    told = TextFormatter()
    return Fault(
        when=datetime.fromtimestamp(record.created, UTC),
        deployment=str(getattr(record, "deployment", "")),
        worker=str(getattr(record, "worker", "")),
        request_id=str(getattr(record, "request_id", "")),
        message=told.text(record),
    )
