"""Keeps what the log says of each deployment: the last lines in memory, all of them in a file that is rotated.

    record with a field "deployment" -> KeptLogs -> the last lines, by number         GET .../log?tail=, ?follow=1
                                                 -> FOLDER/NAME.log, NAME.log.1 ...   GET .../log
                                                 -> the last errors                   modelserve status

It is a handler of logging, for the time that a server runs. A file that cannot be written costs nothing but itself: the
files of a server are written aside, so that nobody who logs waits for a disk.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from modelserve.held import Bound
from modelserve.logs.backlog import LIMIT_BYTES, Backlog
from modelserve.logs.flow import LINES_PER_S, Flow
from modelserve.logs.form import TextFormatter
from modelserve.logs.writing import ACCESS, LEFT_OUT, left_out, not_taken

if TYPE_CHECKING:  # it loads asyncio, which most workers do without
    from modelserve.supervised import Supervisor

__all__ = ["Fault", "KeptLogs", "Numbered"]

logger = logging.getLogger(__name__)

# A file of this size is put aside; so many that were put aside are kept.
FILE_BYTES = 10 * 1024**2
FILES = 4

# Who reads the files waits so long for the lines that are being written.
FILES_S = 1.0

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
        self._backlog: Backlog[tuple[_Log | None, str]] | None = None

    @property
    def bound(self) -> Bound | None:
        """How much waits to be written to the files, and how much may; None where they are not written aside."""
        return None if self._backlog is None else self._backlog.bound

    @property
    def not_written(self) -> int:
        """How many records are not in the files, since those were not written in time."""
        return 0 if self._backlog is None else self._backlog.dropped

    def write_aside(self, supervisor: Supervisor) -> None:
        """Write the files on a thread of its own from now on.

        Args:
            supervisor: Runs it.
        """
        bound = Bound("log_files", LIMIT_BYTES)
        self._backlog = Backlog(supervisor, "log files", bound, write=self._write_all, told=self._told)
        self._backlog.start()

    def emit(self, record: logging.LogRecord) -> None:
        log = self._logs.get(str(getattr(record, "deployment", "")))
        if log is None or record.name == ACCESS:
            return
        with contextlib.suppress(Exception):  # as that of standard error: a log must not stop what it tells of
            if count := self._flow.turn(time.monotonic()):
                self._add(log, self.format(left_out(count)))
            if record.msg is LEFT_OUT or self._flow.admits(log):
                text = self.format(record)
                self._flow.spend(log, text.count("\n") + 1)
                self._add(log, text)
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
        """Return the files of a deployment, opened, the oldest first; they are the caller's to close.

        It waits for the disk, but for what is still to be written only ``FILES_S``.
        """
        if self._backlog is not None:
            self._backlog.wait(FILES_S)
        return self._logs[name].opened()

    def faults(self) -> list[Fault]:
        """Return the last errors, the newest first."""
        with contextlib.ExitStack() as stack:
            logs = [stack.enter_context(self._held(name)) for name in self._logs]
            return sorted((fault for log in logs for fault in log.faults), reverse=True)

    def close(self) -> None:
        """Close the files; of a disk that stands still, without them."""
        if self._backlog is None or self._backlog.close():
            for log in self._logs.values():
                log.close()
        super().close()

    def _add(self, log: _Log, text: str) -> None:
        log.add(text)
        if self._backlog is None:
            log.write(text)
        elif log.has_file:
            self._backlog.put((log, text), len(text))

    def _told(self, count: int) -> tuple[_Log | None, str]:
        """Return the line that says that lines are missing, for all files: nobody knows whose they were."""
        return None, self.format(not_taken(count))

    def _write_all(self, lines: Sequence[tuple[_Log | None, str]]) -> int:
        for log, text in lines:
            for each in self._logs.values() if log is None else (log,):
                each.write(text)
        return 0

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

    def write(self, text: str) -> None:
        """Write it to the file, if there is one; waits for the disk."""
        if self._file is not None:
            self._file.handle(logging.makeLogRecord({"msg": text}))

    @property
    def has_file(self) -> bool:
        return self._file is not None

    def opened(self) -> list[IO[bytes]]:
        if self._path is None or self._file is None:
            return []
        self._file.acquire()  # it may be about to put a file aside
        try:
            return self._open_all(self._path)
        finally:
            self._file.release()

    def _open_all(self, path: Path) -> list[IO[bytes]]:
        names = [*(f"{path}.{number}" for number in range(FILES, 0, -1)), str(path)]
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
