"""The small interface between a run and its input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from modelserve.batch.calls import CallMaker
from modelserve.batch.rows import Row

__all__ = ["CHUNK_ROWS", "Source"]

# Rows are handed over in lists of about so many: a list costs two changes of threads, about 20 us.
CHUNK_ROWS = 256


class Source(Protocol):
    """An input: it is opened and looked at when it is made, and read once by ``rows``, in any one thread."""

    @property
    def size(self) -> int:
        """The whole of it in units of its own (bytes, rows or files), 0 where that cannot be known."""

    @property
    def read(self) -> int:
        """How many of those units have been read."""

    @property
    def base(self) -> Path:
        """The folder from which paths in its rows are read."""

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from another input, as JSON can hold it."""

    def check(self, make: CallMaker) -> None:
        """Check that its rows can be calls of this model.

        Raises:
            SettingsError: They cannot.
        """

    def rows(self, make: CallMaker, skip: int) -> Iterator[list[Row]]:
        """Yield the rows after the first ``skip``, some at a time, in order; blocks while it reads.

        Raises:
            BatchError: It cannot be read any further.
        """
