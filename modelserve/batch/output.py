"""The output of a run: whole lines in the order of the rows, that survive whatever ends the run.

lines --write--> OUT.jsonl        about once a second: on disk, and the state after it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import orjson

from modelserve.batch.answers import File
from modelserve.batch.rows import BatchError
from modelserve.batch.state import State, check_task, read_state, state_path, write_state
from modelserve.errors import SettingsError

__all__ = ["INDEX", "Output", "Piece"]

# The lines of an output that is a folder.
INDEX = "index.jsonl"

# What was written is put on disk so often.
SYNC_S = 1.0


class Piece(NamedTuple):
    """Lines to be written next, how many of them are errors, and the files that they name."""

    lines: list[bytes]
    failed: int
    files: list[File]


class Output:
    """Where the lines go. All but ``state`` blocks, and is for one thread at a time.

    Args:
        path: A file, or with ``is_folder`` a folder, which is made, whose lines stand in its ``INDEX``.
        is_folder: Whether each answer is a file of its own.
    """

    def __init__(self, path: Path, *, is_folder: bool) -> None:
        self.folder = path if is_folder else None
        self.path = path / INDEX if is_folder else path
        self.state = State(task={})
        self._task: dict[str, Any] = {}
        self._old: State | None = None
        self._file: BinaryIO
        self._synced_s = 0.0

    @contextlib.contextmanager
    def opened(self, task: dict[str, Any], *, restart: bool) -> Iterator[State | None]:
        """Hold the output for a task, and yield how far it was known to have come, None for one that is to be begun.

        Nothing in it is changed before ``begin``; one that never begins leaves no file behind.

        Raises:
            SettingsError: It cannot be written, another run writes it, or it is not this task's.
        """
        with self._open() as self._file:
            try:
                self._task = task
                self._old = self._found(task, restart=restart)
                yield self._old
            finally:
                if not os.fstat(self._file.fileno()).st_size and not state_path(self.path).exists():
                    self.path.unlink(missing_ok=True)

    def begin(self) -> State:
        """Return from where on the output is written: behind its last whole line, or at its beginning.

        Raises:
            SettingsError: It is not what it was, or cannot be written.
        """
        try:
            self.state = self._anew() if self._old is None else self._recovered(self._old)
        except OSError as error:
            raise SettingsError(f"--output {self.path} cannot be written: {error.strerror}.") from error
        self._synced_s = time.monotonic()
        return self.state

    def write(self, piece: Piece) -> None:
        """Write lines and the files they name, and about once a second see to it that they stay.

        Raises:
            BatchError: There is no room, or the disk has failed.
        """
        try:
            for file in piece.files:
                assert self.folder is not None, "answers in lines have no files"
                _write_whole(self.folder / file.name, file.body)
            self._append(b"".join(piece.lines))
            self._count(piece)
            if time.monotonic() - self._synced_s >= SYNC_S:
                self.sync()
        except OSError as error:
            raise BatchError(f"{self.path} cannot be written: {error.strerror}.") from error

    def sync(self, *, is_complete: bool = False) -> None:
        """Put on disk what was written, and the state after it.

        Raises:
            OSError: There is no room, or the disk has failed.
        """
        self.state = msgspec.structs.replace(self.state, is_complete=is_complete)
        os.fsync(self._file.fileno())
        write_state(self.path, self.state)
        self._synced_s = time.monotonic()

    def _open(self) -> BinaryIO:
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
            number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise SettingsError(f"--output {self.path} cannot be written: {error.strerror}.") from error
        file = os.fdopen(number, "r+b", buffering=0)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
        except BlockingIOError as error:
            file.close()
            raise SettingsError(f"Another modelserve batch writes {self.path} now.") from error
        except OSError as error:
            file.close()
            raise SettingsError(f"--output {self.path} must be a file, not a device or a pipe.") from error
        return file

    def _found(self, task: dict[str, Any], *, restart: bool) -> State | None:
        size = os.fstat(self._file.fileno()).st_size
        old = None if restart or not size else read_state(self.path)
        if size and not restart and old is None:
            raise SettingsError(f"{self.path} is there, and no batch run wrote it. --restart begins anew.")
        if old is not None:
            check_task(self.path, old.task, task)
            if size < old.bytes:
                raise SettingsError(f"{self.path} is shorter than it was. --restart begins anew.")
        return old

    def _anew(self) -> State:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(state_path(self.path))
        self._file.truncate(0)
        state = State(task=self._task)
        write_state(self.path, state)
        return state

    def _recovered(self, state: State) -> State:
        """Return the state after the last whole line; what comes after it is cut."""
        rows, failed, end = state.rows, state.failed, state.bytes
        with open(self.path, "rb") as file:
            file.seek(end)
            for line in file:
                found = _parsed(line)
                if found.get("row") != rows:
                    break
                rows, failed, end = rows + 1, failed + ("error" in found), end + len(line)
        self._file.truncate(end)
        self._file.seek(end)
        return msgspec.structs.replace(state, rows=rows, failed=failed, bytes=end)

    def _append(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]

    def _count(self, piece: Piece) -> None:
        state = self.state
        self.state = msgspec.structs.replace(
            state,
            rows=state.rows + len(piece.lines),
            failed=state.failed + piece.failed,
            bytes=state.bytes + sum(map(len, piece.lines)),
        )


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the object of a whole line, an empty one for a torn line."""
    try:
        found = orjson.loads(line) if line.endswith(b"\n") else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _write_whole(path: Path, body: bytes) -> None:
    with open(path, "wb") as file:
        file.write(body)
