"""The queue of one deployment: calls that wait for a worker, in order, within its limits of calls and bytes.

A call that is given up while it waits leaves a gap that is skipped later, so that leaving costs nothing; its place and
its bytes are free at once. Gaps never outnumber the calls by more than a few.
"""

from __future__ import annotations

import sys
from collections import deque

from modelserve.errors import QueueFull
from modelserve.messages import Call
from modelserve.runtime.pending import Pending

__all__ = ["Queue", "size_of"]

# The queue is closed up when it has so many gaps and more gaps than calls.
GAPS = 32


def size_of(call: Call) -> int:
    """Return how many bytes of a call wait in memory; its uploaded files lie on disk."""
    size = len(call.body)
    return size + sum(len(text) for _, text in call.form) if call.form else size


class Queue:
    """Calls in the order they came. ``calls`` and ``bytes`` count those that still wait.

    Args:
        max_calls: How many may wait.
        max_bytes: How many bytes of them may wait, 0 for no limit.
    """

    def __init__(self, max_calls: int, max_bytes: int = 0) -> None:
        self.calls = 0
        self.bytes = 0
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._waiting: deque[Pending] = deque()

    def check_room(self, size: int) -> None:
        """Check that a call of so many bytes may wait too. A body above the limit passes while nothing waits.

        Raises:
            QueueFull: It may not.
        """
        if self.calls >= self._max_calls:
            raise QueueFull(f"{self.calls} calls are waiting for this model already; try again later.")
        if self._max_bytes and self.calls and self.bytes + size > self._max_bytes:
            waiting = f"{self.bytes} bytes of calls are waiting for this model already, of {self._max_bytes} that may"
            raise QueueFull(f"{waiting}; try again later.")

    def push(self, pending: Pending) -> None:
        """Append a call."""
        self._waiting.append(pending)
        self.calls += 1
        self.bytes += pending.size

    def put_back(self, pendings: list[Pending]) -> None:
        """Put calls that were sent already before all others, in their order."""
        for pending in reversed(pendings):
            pending.replica = None
            self.calls += 1
            self.bytes += pending.size
            self._waiting.appendleft(pending)

    def forget(self, pending: Pending) -> None:
        """Free the place of a call that waits here and has just been given up or answered."""
        self.calls -= 1
        self.bytes -= pending.size
        pending.call = Call(pending.call.id)  # its body must not stay in memory for the sake of a gap
        if len(self._waiting) - self.calls > max(GAPS, self.calls):
            self._waiting = deque(waiting for waiting in self._waiting if not waiting.done())

    def waiting(self) -> list[Pending]:
        """Return the calls that wait, the next one first."""
        return [pending for pending in self._waiting if not pending.done()]

    def oldest(self) -> Pending | None:
        """Return the call that is the next."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def take(self, room: int, room_bytes: int = sys.maxsize) -> list[Pending]:
        """Take up to ``room`` calls, none once they have ``room_bytes``; one marked alone makes a batch of its own."""
        batch: list[Pending] = []
        waiting, least_bytes = self._waiting, self.bytes - room_bytes
        while waiting and len(batch) < room and self.bytes > least_bytes:
            pending = waiting[0]
            if pending.alone and batch and not pending.done():
                break
            waiting.popleft()
            if pending.done():
                continue
            self.calls -= 1
            self.bytes -= pending.size
            batch.append(pending)
            if pending.alone:
                break
        return batch

    def clear(self) -> list[Pending]:
        """Take all."""
        taken = [pending for pending in self._waiting if not pending.done()]
        self._waiting.clear()
        self.calls = self.bytes = 0
        return taken
