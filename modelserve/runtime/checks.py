"""The calls that a worker has been asked to validate beside those that it runs, by the server's side of it.

Check to the worker -> ask -> a future <- answered <- Checked from the worker
"""

from __future__ import annotations

import asyncio

from modelserve.errors import WorkerDied
from modelserve.messages import Answer

__all__ = ["Checks"]

DIED = "The worker process that looked at this call's arguments ended before it had."


class Checks:
    """What one worker has been asked and has not answered."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._is_lost = False

    def ask(self, call_id: int) -> asyncio.Future[Answer]:
        """Return the future of an answer; it raises WorkerDied where the worker ends before."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future
        future.add_done_callback(lambda _: self._waiting.pop(call_id, None))
        if self._is_lost:
            self.lost()
        return future

    def answered(self, answer: Answer) -> None:
        """The worker has answered; where nobody waits any more, nothing happens."""
        future = self._waiting.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer)

    def lost(self) -> None:
        """The worker has ended, and answers no more."""
        self._is_lost = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(WorkerDied(DIED))
