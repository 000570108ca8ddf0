"""The calls that a worker has been asked to validate beside those that it runs, by the server's side of it.

Check to the worker -> ask -> a future <- answered <- Checked from the worker
"""

from __future__ import annotations

import asyncio

from modelserve.errors import WorkerDied
from modelserve.messages import Answer
from modelserve.runtime.interface import Misbehaved

__all__ = ["Checks"]

DIED = "The worker process that looked at this call's arguments ended before it had."


class Checks:
    """What one worker has been asked and has not answered; ``len`` counts what nobody waits for any more, too."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._is_lost = False

    def ask(self, call_id: int) -> asyncio.Future[Answer]:
        """Return the future of an answer; it raises WorkerDied where the worker ends before."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future
        if self._is_lost:
            self.lost()
        return future

    def __len__(self) -> int:
        return len(self._waiting)

    def answered(self, answer: Answer) -> None:
        """The worker has answered; where nobody waits any more, nothing happens.

        Raises:
            Misbehaved: It was not asked.
        """
        future = self._waiting.pop(answer.id, None)
        if future is None:
            raise Misbehaved("answered a call that it was not to validate")
        if not future.done():
            future.set_result(answer)

    def lost(self) -> None:
        """The worker has ended, and answers no more."""
        self._is_lost = True
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(WorkerDied(DIED))
