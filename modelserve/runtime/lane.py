"""The bookkeeping of one replica: which calls are at it, and how many more it may be given.

A worker holds the frame it runs and at most one more, sent ahead when it is full, so that a busy worker does not wait
for the socket and a call is never far from being run. How much a frame may hold follows from measurement: a model that
batches gets up to its ``max_batch_size``; any other as many calls as it runs in about a millisecond, so that fast
models share system calls and a slow model's calls wait in the deployment's queue, where any worker that becomes free
can take them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque

from modelserve.messages import Answer, Answers, Call
from modelserve.runtime.interface import Replica

__all__ = ["Lane", "Pending"]

# What a frame of single calls should keep a worker busy for: 20 times the cost of passing one frame (about 50 us).
FRAME_S = 0.001

# No frame of single calls is larger: past it, the shared system calls are a few percent of the whole.
MAX_FRAME_CALLS = 64

# A second frame is sent ahead only while frames run shorter than this; then waiting behind one costs little.
AHEAD_S = 0.005

# The weight of the newest measurement in the moving average of a call's time.
SMOOTHING = 0.2


class Pending:
    """A call and the future of its answer.

    ``alone`` marks one of a batch with which a worker died. ``number`` counts the calls of the lane it was sent to.
    """

    __slots__ = ("alone", "call", "future", "number")

    def __init__(self, call: Call, future: asyncio.Future[Answer]) -> None:
        self.call = call
        self.future = future
        self.alone = False
        self.number = 0


class Lane:
    """One replica that serves, with the frames that are at it.

    Args:
        replica: A started replica.
        max_batch_size: How many calls the model predicts together, 1 where it does not batch.
    """

    def __init__(self, replica: Replica, max_batch_size: int) -> None:
        self.replica = replica
        self._max_batch_size = max_batch_size
        self._frames: deque[dict[int, Pending]] = deque()  # what is unanswered of each, by call id
        self._sent = itertools.count()
        self._call_s = AHEAD_S  # until the first answers tell, taken for slow

    def __len__(self) -> int:
        """Return how many calls are at the replica."""
        return sum(map(len, self._frames))

    def room(self, waiting: int) -> int:
        """Return how many calls the next frame may hold now, 0 for none, where so many are waiting.

        A frame is sent ahead only when it is full: until then calls gather, and gathering costs nobody anything while
        the worker is busy.
        """
        size = self._max_batch_size
        if size == 1:
            size = max(1, min(MAX_FRAME_CALLS, int(FRAME_S / self._call_s)))
        if not self._frames:
            return size
        is_quick = self._call_s * size < AHEAD_S
        return size if is_quick and len(self._frames) == 1 and waiting >= size else 0

    def send(self, batch: list[Pending]) -> None:
        """Send calls as one frame."""
        for pending in batch:
            pending.number = next(self._sent)
        self._frames.append({pending.call.id: pending for pending in batch})
        self.replica.send([pending.call for pending in batch])

    def answered(self, answers: Answers) -> None:
        """Resolve the calls that were answered and learn how long they took."""
        for answer in answers.answers:
            pending = self._take(answer.id)
            if pending is not None and not pending.future.done():
                pending.future.set_result(answer)
        if answers.answers:
            newest_s = answers.busy_ns / 1e9 / len(answers.answers)
            self._call_s += SMOOTHING * (newest_s - self._call_s)

    def clear(self) -> tuple[list[Pending], list[Pending]]:
        """Return (unanswered calls the worker had begun, those it had not), in the order sent, and forget them."""
        unanswered = [pending for frame in self._frames for pending in frame.values()]
        self._frames.clear()
        begun = sum(pending.number < self.replica.begun for pending in unanswered)
        return unanswered[:begun], unanswered[begun:]

    def _take(self, call_id: int) -> Pending | None:
        for frame in self._frames:
            pending = frame.pop(call_id, None)
            if pending is not None:
                if not frame:
                    self._frames.remove(frame)
                return pending
        return None
