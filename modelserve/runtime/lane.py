"""The bookkeeping of one replica: which calls are at it, and how many more it may be given.

A worker holds the frame it runs and at most one more, sent ahead, so that a busy worker does not wait for the socket
and a call is never far from being run. The one ahead is sent when it is full, or, behind a frame of less than a
millisecond, when it is as large as that: waiting for more would cost such a worker more than it gains. How much a frame
may hold follows from measurement: a model that batches gets up to its ``max_batch_size``; any other as many calls as it
runs in about a millisecond, so that fast models share system calls and a slow model's calls wait in the deployment's
queue, where any worker that becomes free can take them. A model that streams gets one call at a time, since a stream
lasts as long as its client takes to read it; an async one as many as it runs at the same time.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from modelserve.messages import Answer, Answers, Description, Failure, Part
from modelserve.runtime.interface import Misbehaved, Replica
from modelserve.runtime.pending import Pending
from modelserve.runtime.streams import Stream, Streamed, discard

__all__ = ["Lane"]

# What a frame of single calls should keep a worker busy for: 20 times the cost of passing one frame (about 50 us).
FRAME_S = 0.001

# No frame of single calls is larger: past it, the shared system calls are a few percent of the whole.
MAX_FRAME_CALLS = 64

# A second frame is sent ahead only while frames run shorter than this; then waiting behind one costs little. Without it
# a worker stands still for about half a millisecond between frames, which was 5 % of a model that sleeps for 10 ms.
AHEAD_S = 0.02

# The weight of the newest measurement in the moving average of a call's time.
SMOOTHING = 0.2

# No call takes less: what a worker says is not believed beyond that, and no frame's size is divided by nothing.
LEAST_S = 1e-6

# How much longer than it has been here a worker may say that it was busy, for clocks that are not read together.
CLOCK_S = 1.0


class Lane:
    """One replica that serves, with the frames that are at it.

    ``answered_calls`` counts, and ``call_limit`` is the count at which the worker should be replaced. ``closing`` is
    the reason for which the worker is about to end, "" while it serves; ``emptied`` is set once nothing is at it then,
    and ``is_ending`` says that it was told to end at once. ``bytes`` are of the calls that are here; where they are
    ``max_bytes`` or more, it gets no more calls. ``progress`` is what the watch saw of it when it last moved,
    and ``progress_s`` when that was.

    Args:
        replica: A started replica.
        description: Its model's.
        took: Told how many seconds the worker was at a call, and for how many calls that is so.
    """

    def __init__(
        self, replica: Replica, description: Description, took: Callable[[float, int], None] = lambda _, times: None
    ) -> None:
        self.replica = replica
        self.batches = description.max_batch_size > 1
        self.is_concurrent = description.max_concurrency > 1
        self.since = datetime.now(UTC)
        self.answered_calls = 0
        self.bytes = 0
        self.max_bytes = sys.maxsize
        self.call_limit = sys.maxsize
        self.closing = ""
        self.is_ending = False
        self.emptied: asyncio.Event | None = None
        self.progress: tuple[int, ...] | None = None
        self.progress_s = 0.0
        self._max_batch_size = description.max_batch_size
        self._max_concurrency = description.max_concurrency
        self._streams = description.streams
        # Of other models, a worker itself says how long it was at its calls.
        self._is_timed = self.batches or self.is_concurrent or description.streams
        # What is unanswered of each frame, by call id; in one for all where calls run at the same time.
        self._frames: deque[dict[int, Pending]] = deque()
        self._sent = itertools.count()
        self._took = took
        self._began_s = 0.0  # of the first frame, where calls run together or as a stream
        self._last_size = 1
        self._since_s = time.monotonic()
        self._is_cleared = False
        self._call_s = AHEAD_S  # until the first answers tell, taken for slow

    def __len__(self) -> int:
        """Return how many calls are at the replica."""
        return sum(map(len, self._frames))

    @property
    def due(self) -> int:
        """How many more calls the worker may answer."""
        return sys.maxsize if self._is_cleared else len(self)

    def room(self, waiting: int) -> int:
        """Return how many calls the next frame may hold now, 0 for none, where so many are waiting.

        A frame is sent ahead only when it is full, or as large as the one before it where that is soon done: until
        then calls gather, and gathering costs nobody anything while the worker is busy.
        """
        if self.bytes >= self.max_bytes:
            return 0
        if self.is_concurrent:
            return max(0, self._max_concurrency - len(self))
        size = self._max_batch_size
        if size == 1 and not self._streams:
            size = max(1, min(MAX_FRAME_CALLS, int(FRAME_S / self._call_s)))
        if not self._frames:
            return size
        if len(self._frames) > 1 or self._streams or self._call_s * size >= AHEAD_S:
            return 0
        enough = min(size, self._last_size) if self._call_s * self._last_size < FRAME_S else size
        return size if waiting >= enough else 0

    def send(self, batch: list[Pending]) -> None:
        """Send calls as one frame. Where it raises, none of them was sent or is here."""
        replica = self.replica
        replica.send([pending.call for pending in batch])
        self._last_size = len(batch)
        for pending in batch:
            pending.number = next(self._sent)
            pending.replica = replica
            self.bytes += pending.size
        frame = {pending.call.id: pending for pending in batch}
        if self.is_concurrent:
            self._send_beside(frame)
        else:
            self._frames.append(frame)
            if len(self._frames) == 1:
                self._began_s = time.perf_counter()

    def answered(self, answers: Answers) -> None:
        """Resolve the calls that were answered and learn how long they took.

        Raises:
            Misbehaved: One of them is not here, or what is said of it cannot be.
        """
        began_s = self._began_s  # of the frame that these are of: the next begins with the last of them
        for answer in answers.answers:
            if answer.failure is not None:
                _check_failure(answer.failure)
            if answer.stream:
                self._open(answer)
                continue
            pending = self._take(answer.id)
            if pending is None:
                self._refuse_stranger(answer)
                continue
            # First of all it is answered: it is here no more, and nobody else would answer it.
            if pending.stream is not None:  # a stream that was cancelled ends with an answer
                pending.stream.feed(Part(answer.id, last=True, failure=answer.failure))
            elif not pending.done():
                pending.set_result(answer)
            else:
                discard(answer)
            if pending.timer is not None:
                pending.release()
            if self._is_timed:
                self._took(self._ran_s(pending, began_s), 1)
        self._learn(answers)

    def part(self, part: Part) -> None:
        """Pass on the next part of a streamed answer; the last one takes the call off the lane.

        Raises:
            Misbehaved: It is of no stream, or more than the worker was allowed.
        """
        pending = self._find(part.id)
        if pending is None or pending.stream is None:
            if self._is_cleared:
                return
            raise Misbehaved("sent a part of no stream")
        if pending.stream.fed >= pending.stream.allowed and not part.last:
            raise Misbehaved(f"sent more than the {pending.stream.allowed} parts of a stream that it was allowed")
        _check_failure(part.failure)
        pending.stream.feed(part)
        if part.last:
            began_s = self._began_s
            self._take(part.id)
            pending.release()
            self._took(self._ran_s(pending, began_s), 1)

    def pendings(self) -> list[Pending]:
        """Return the calls at the replica, in the order sent."""
        return [pending for frame in self._frames for pending in frame.values()]

    def has_begun(self, pending: Pending) -> bool:
        """Tell whether the worker has begun to run a call."""
        return pending.number < self.replica.begun

    def running(self) -> list[Pending]:
        """Return the calls that run now, as far as can be known: of calls that are run in turn, the last one begun."""
        begun = self.replica.begun
        found = [pending for pending in self.pendings() if pending.number < begun]
        return found if self.batches or self.is_concurrent else found[-1:]

    def clear(self) -> tuple[list[Pending], list[Pending]]:
        """Return (unanswered calls the worker had begun, those it had not), in the order sent, and forget them."""
        unanswered = self.pendings()
        self._frames.clear()
        self.bytes = 0
        self._is_cleared = True
        begun = self.replica.begun
        count = sum(pending.number < begun for pending in unanswered)
        return unanswered[:count], unanswered[count:]

    def _send_beside(self, frame: dict[int, Pending]) -> None:
        """Note calls that run at the same time as those that are here, each with its own time."""
        now = asyncio.get_running_loop().time()
        for pending in frame.values():
            pending.sent_s = now
        if self._frames:
            self._frames[0].update(frame)
        else:
            self._frames.append(frame)

    def _open(self, answer: Answer) -> None:
        """Hand out the stream of an answer that has begun; the call stays here until its last part."""
        pending, replica = self._find(answer.id), self.replica
        if pending is None:
            self._refuse_stranger(answer)
            return
        if pending.stream is not None:
            raise Misbehaved("began a stream a second time")
        left = pending.left
        self._streams = True  # whatever the model says of itself: no other call is to wait behind the next stream
        stream = Stream(answer.id, lambda parts: replica.more(answer.id, parts), lambda: left(pending))
        if pending.done():  # the client did not wait for it
            stream.close()
        pending.stream = stream
        if not pending.done():
            pending.set_result(
                Streamed(answer.id, answer.content_type, filename=answer.filename, stream=True, parts=stream)
            )

    def _refuse_stranger(self, answer: Answer) -> None:
        """Let go of an answer to a call that is not here, which may be where all that were here have been given up."""
        discard(answer)
        if not self._is_cleared:
            raise Misbehaved("answered a call that it does not have")

    def _learn(self, answers: Answers) -> None:
        count = len(answers.answers)
        if not count:
            raise Misbehaved("sent answers to no call")
        busy_s = answers.busy_ns / 1e9
        if not 0 <= busy_s <= time.monotonic() - self._since_s + CLOCK_S:
            raise Misbehaved(f"said that it was busy for {busy_s:g} s")
        self.answered_calls += count
        if not self._is_timed:
            self._took(busy_s / count, count)
        self._call_s = max(LEAST_S, self._call_s + SMOOTHING * (busy_s / count - self._call_s))

    def _ran_s(self, pending: Pending, began_s: float) -> float:
        if self.is_concurrent:
            return asyncio.get_running_loop().time() - pending.sent_s
        return time.perf_counter() - began_s

    def _find(self, call_id: int) -> Pending | None:
        for frame in self._frames:
            if call_id in frame:
                return frame[call_id]
        return None

    def _take(self, call_id: int) -> Pending | None:
        for frame in self._frames:
            pending = frame.pop(call_id, None)
            if pending is not None:
                self.bytes -= pending.size
                if not frame:
                    self._frames.remove(frame)
                    self._began_s = time.perf_counter()
                return pending
        return None


def _check_failure(failure: Failure | None) -> None:
    """Check that a failure has the status of one.

    Raises:
        Misbehaved: It has not.
    """
    if failure is not None and not 400 <= failure.status <= 599:
        raise Misbehaved(f"sent a failure of status {failure.status}")
