"""The answers that a cache keeps, by key: the one that was not asked for the longest goes first.

Their number, their bytes and their age are bounded. Does no I/O, and reads no clock.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from modelserve.messages import Answer

__all__ = ["MAX_ANSWER_BYTES", "MAX_BYTES", "Kept", "KeptAnswer"]

# Larger answers are not kept: a few of them would push out all others.
MAX_ANSWER_BYTES = 1024 * 1024

# What is kept for one deployment is no larger, however many answers may be kept.
MAX_BYTES = 64 * 1024 * 1024

# What one answer takes beside its body: its key, its place and the objects around it (sys.getsizeof of each, rounded).
ENTRY_BYTES = 1024


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer and when it came (the loop's time); None where callers must not share, since it was no whole answer."""

    answer: Answer | None
    since: float


class Kept:
    """Answers by the key of their call.

    Args:
        size: Most answers.
        ttl_s: How long one is kept, 0 for no limit.
    """

    def __init__(self, size: int, ttl_s: float) -> None:
        self.bytes = 0
        self._size = size
        self._ttl_s = ttl_s
        self._found = OrderedDict[bytes, KeptAnswer]()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: bytes, now: float) -> KeptAnswer | None:
        """Return what is kept under a key, unless it has become too old."""
        kept = self._found.get(key)
        if kept is None:
            return None
        if self._ttl_s and now - kept.since >= self._ttl_s:
            self._drop(key)
            return None
        self._found.move_to_end(key)
        return kept

    def put(self, key: bytes, answer: Answer | None, now: float) -> None:
        """Keep an answer, where it is not too large, and make room for it."""
        if answer is not None and len(answer.body) > MAX_ANSWER_BYTES:
            return
        if key in self._found:
            self._drop(key)
        self._found[key] = KeptAnswer(answer, now)
        self.bytes += _size_of(answer)
        while len(self._found) > self._size or self.bytes > MAX_BYTES:
            self._drop(next(iter(self._found)))

    def clear(self) -> None:
        """Keep nothing of what was kept."""
        self._found.clear()
        self.bytes = 0

    def _drop(self, key: bytes) -> None:
        self.bytes -= _size_of(self._found.pop(key).answer)


def _size_of(answer: Answer | None) -> int:
    return ENTRY_BYTES if answer is None else ENTRY_BYTES + len(answer.body)
