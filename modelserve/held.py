"""What the server holds as a whole, in bytes, and how much of it there may be: of bodies, of answers, of logs.

    Bound("receiving", limit) <- take, give        one for the server, or for a deployment, shared by all that hold
          ^ Share                                  what one body or answer has of it, given back whole at its end

Whoever makes a bound has it told in the metrics: ``metrics.watch_held(bound)``. Nothing here locks: one thread uses a
bound, or its users have a lock of their own.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Bound", "Share", "Sum"]


class Bound:
    """So many bytes that may be held at once.

    Args:
        what: What holds them, in one word: the label ``what`` of the metrics.
        limit: How many there may be, at least 1.

    Attributes:
        held: How many there are now.
    """

    __slots__ = ("held", "limit", "what")

    def __init__(self, what: str, limit: int) -> None:
        self.what = what
        self.limit = limit
        self.held = 0

    @property
    def room(self) -> int:
        """How many more there may be; below 0 where what has come already is more."""
        return self.limit - self.held

    def take(self, size: int) -> bool:
        """Hold so many more, unless there is no room for all of them; tell whether there was."""
        if self.held + size > self.limit:
            return False
        self.held += size
        return True

    def add(self, size: int) -> None:
        """Hold so many more whatever the limit: they are in memory already, and somebody has to make room."""
        self.held += size

    def give(self, size: int) -> None:
        """Give back what was taken or added."""
        self.held -= size


class Share:
    """What one holder has of a bound, as a context; leaving it gives all back, once, however it ends.

    Args:
        bound: Of which.
    """

    __slots__ = ("_bound", "size")

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self.size = 0

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def take(self, size: int) -> bool:
        """As the bound's."""
        if not self._bound.take(size):
            return False
        self.size += size
        return True

    def add(self, size: int) -> None:
        """As the bound's."""
        self._bound.add(size)
        self.size += size

    def give(self, size: int) -> None:
        """Give a part back."""
        self._bound.give(size)
        self.size -= size

    def close(self) -> None:
        """Give back all there is; a second time there is nothing."""
        size, self.size = self.size, 0
        self._bound.give(size)


class Sum:
    """Bytes that others count, to be told of as a bound is.

    Args:
        what: What holds them.
        limit: How many there may be, 0 where there is no limit.
        count: Returns how many there are.
    """

    def __init__(self, what: str, limit: int, count: Callable[[], int]) -> None:
        self.what = what
        self.limit = limit
        self._count = count

    @property
    def held(self) -> int:
        """How many there are now."""
        return self._count()
