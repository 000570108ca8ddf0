"""How many lines each source of the log may write in a second, so that a flood of faults cannot fill the disk."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["LINES_PER_S", "Flow"]

# Lines that are let through in a second, from each source: what concerns one deployment, at one level.
LINES_PER_S = 1_000


class Flow:
    """Counts lines by source and second. It is for one thread, or under a lock.

    Attributes:
        dropped: How many records, or lines, were not admitted so far.
    """

    def __init__(self, lines_per_s: int = LINES_PER_S) -> None:
        self.dropped = 0
        self._most = lines_per_s
        self._second = 0
        self._lines: dict[Hashable, int] = {}
        self._untold = 0

    @property
    def is_owing(self) -> bool:
        """Whether some were dropped of which nobody was told yet."""
        return self._untold > 0

    def turn(self, now_s: float) -> int:
        """Take note of the time; return how many were dropped in the second that is over, told once."""
        second = int(now_s)
        if second == self._second:
            return 0
        self._second = second
        self._lines.clear()
        untold, self._untold = self._untold, 0
        return untold

    def admits(self, source: Hashable) -> bool:
        """Tell whether a source may write now; where not, one more has been dropped."""
        if self._lines.get(source, 0) < self._most:
            return True
        self.drop(1)
        return False

    def spend(self, source: Hashable, lines: int) -> None:
        """Note what a source has written."""
        self._lines[source] = self._lines.get(source, 0) + lines

    def is_over(self, source: Hashable) -> bool:
        """Tell whether a source may write nothing more in this second."""
        return self._lines.get(source, 0) >= self._most

    def drop(self, lines: int) -> None:
        """Note lines that are left out."""
        self.dropped += lines
        self._untold += lines
