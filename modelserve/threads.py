"""A pool of threads that never does later what it has refused to do.

    submit -> a thread that is idle, or one more, or where the system has none left, one of those that are busy
           -> RuntimeError where there is none at all: the work is not done, now or later

Python's own pool refuses work for which it cannot start another thread, and does it all the same as soon as one of its
threads is free. Whoever was told that nothing is done has closed the work's files by then, whose descriptors may be
others', and has told its client so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

__all__ = ["Threads"]


class Threads(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` whose threads do what more of them would do, where the system has no thread left."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:  # it is in the queue already, and nobody takes from there meanwhile but threads
            if not self._threads:
                self._work_queue.get_nowait()
                raise
