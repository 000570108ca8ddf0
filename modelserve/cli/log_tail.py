"""Reads a text file that another process writes, line by line as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

__all__ = ["LogTail"]

# So much is read at once: a training that prints without end is shown in pieces, and never held whole.
PIECE_BYTES = 64 * 1024


class LogTail:
    """The lines of a file from its beginning, as a context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""

    def __enter__(self) -> LogTail:
        self._file = self._path.open("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def lines(self, *, to_the_end: bool = False) -> Iterator[str]:
        """Yield the whole lines that have come since the last time; an endless one is cut into pieces.

        Args:
            to_the_end: Nobody writes any more: what stands after the last newline is a line too, and all is read.
        """
        while piece := self._file.read(PIECE_BYTES):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            yield from map(_shown, whole)
            if not to_the_end:
                break
        if self._rest and (to_the_end or len(self._rest) > PIECE_BYTES):
            yield _shown(self._rest)
            self._rest = b""


def _shown(line: bytes) -> str:
    """Return a line as a terminal would show it at last: a bar that is drawn over itself ends in its last state."""
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
