"""For how long others have not been heard, by one's own steady clock. Values in, values out, no I/O.

    heard({server: its last mark}) -> Silence -> has_gone(server)

A clock of others is never asked: only whether a mark has changed since it was last seen. And only time counts in which
this server itself has listened: one that was stopped, or could not reach the database, knows nothing of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["Silence"]


class _Heard(NamedTuple):
    mark: object
    silent_s: float


class Silence:
    """What is known of the others.

    Args:
        stale_s: Who is silent for so long has gone.
        clock: A steady one, in seconds.
    """

    def __init__(self, stale_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_s = stale_s
        self._clock = clock
        self._others: Mapping[str, _Heard] = {}
        self._last_s = float("-inf")

    def heard(self, marks: Mapping[str, object]) -> None:
        """Take the last mark of each of the others that is of interest now."""
        now_s = self._clock()
        listened_s = now_s - self._last_s
        before = self._others if listened_s <= self._stale_s / 2 else {}
        self._others = {id: _heard(before.get(id), mark, listened_s) for id, mark in marks.items()}
        self._last_s = now_s

    def interrupt(self) -> None:
        """Nobody could be heard: what was silent until now may only have been out of reach, as this server was."""
        self._others = {}

    def has_gone(self, id: str) -> bool:
        """Tell whether one of them has been silent for too long."""
        return id in self._others and self._others[id].silent_s >= self._stale_s


def _heard(before: _Heard | None, mark: object, listened_s: float) -> _Heard:
    is_new = before is None or before.mark != mark
    return _Heard(mark, 0.0 if is_new or before is None else before.silent_s + listened_s)
