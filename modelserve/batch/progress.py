"""How far a run is, how fast, and when it will be over; nothing here shows it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from modelserve.batch.ahead import Ahead
from modelserve.batch.interface import Source
from modelserve.batch.writer import Writer

__all__ = ["Pace", "Progress", "progress_of"]

# The rate is that of the last so many seconds, which says more of the rest than that of a slow beginning.
SPAN_S = 15.0


@dataclass(frozen=True)
class Progress:
    """``done`` rows of ``total`` (0 where that is unknown; else a guess while the input is read), ``failed`` of them.

    ``rate`` is in rows a second, and ``left_s`` the seconds to the end, None where nobody can say.
    """

    done: int
    failed: int
    total: int
    rate: float
    left_s: float | None


class Pace:
    """Learns how fast rows are done. Times are of a monotonic clock, in seconds."""

    def __init__(self, done: int, now_s: float) -> None:
        self._seen = deque([(now_s, done)])

    def note(self, done: int, now_s: float) -> float:
        """Take how many rows are done now, and return the rate."""
        self._seen.append((now_s, done))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= SPAN_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        return (done - before) / (now_s - then_s) if now_s > then_s else 0.0


def progress_of(source: Source, ahead: Ahead, writer: Writer, *, skipped: int, failed: int, rate: float) -> Progress:
    """Return how far a run is.

    Args:
        source: What is read.
        ahead: Reads it.
        writer: Has the lines of this run.
        skipped: How many rows were done before.
        failed: How many of those are errors.
        rate: The present one.
    """
    done, seen = writer.number, skipped + ahead.rows
    total = max(seen, round(source.size * seen / source.read)) if source.size and source.read else 0
    total = seen if ahead.is_over else total
    left_s = (total - done) / rate if rate and total else None
    return Progress(done, failed + writer.failed, total, rate, left_s)
