"""A pool of threads that does all that it takes, whether or not the system has a thread left.

    submit -> a thread that is idle, or one more, or where the system has none left, one of those that are busy

Python's own pool refuses work for which it cannot start another thread, and does it all the same as soon as one of its
threads is free. Whoever was told that nothing is done has closed the work's files by then, whose descriptors may be
others', and has told its client so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

__all__ = ["Threads"]


class Threads(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` whose first thread is started with it: there may be no room for one later.

    Args:
        most: How many threads there are at most; None is the default of Python's pool.
        name: The beginning of their names.

    Raises:
        RuntimeError: The system has no thread left.
    """

    def __init__(self, most: int | None = None, name: str = "") -> None:
        super().__init__(most, name)
        self.submit(_nothing)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:  # the work is in the queue, from which those that are there take it
            if not self._threads:
                raise


def _nothing() -> None:
    """Be the work that starts the first thread."""
