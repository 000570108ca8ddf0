"""The order of the rows: each row that is being answered has its place, and answers leave in that order.

A row that is answered before those in front of it waits for them here; how many rows and bytes may be here is limited
by who adds them.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque

from modelserve.batch.rows import Row, size_of
from modelserve.messages import Answer

__all__ = ["Place", "Places"]


class Place:
    """One row and what becomes of it. ``size`` is what is held for it; ``has_died`` that a worker died of it."""

    __slots__ = ("answer", "has_died", "row", "size")

    def __init__(self, row: Row) -> None:
        self.row = row
        call = row.call
        self.size = size_of(row) if call.form or call.files else len(call.body)  # spares most rows a call
        self.answer: Answer | None = None
        self.has_died = False


class Places:
    """The rows that are being answered, in order. ``bytes`` counts what is held for them."""

    def __init__(self) -> None:
        self.bytes = 0
        self._order: deque[Place] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, row: Row) -> Place:
        """Return the place of the next row."""
        place = Place(row)
        self.bytes += place.size
        self._order.append(place)
        return place

    def answered(self, place: Place, answer: Answer) -> None:
        """Give a row its answer; its copies of files are deleted."""
        size = len(answer.body)
        self.bytes += size - place.size
        place.size = size
        place.answer = answer
        for part in place.row.call.files:
            with contextlib.suppress(OSError):  # the model may have removed it
                os.unlink(part.path)

    def leave(self) -> tuple[Row, Answer] | None:
        """Take out the first row, if it has its answer."""
        if not self._order or self._order[0].answer is None:
            return None
        place = self._order.popleft()
        self.bytes -= place.size
        assert place.answer is not None, "it was looked at above"
        return place.row, place.answer
