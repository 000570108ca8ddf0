"""Watches the clock and the clients: deadlines, calls that run too long, and callers that leave.

A deadline has a timer of its own, as few calls have one. Calls that overrun are found by one timer for the whole
deployment, which ticks only while something runs: it sees a worker's progress in the count of calls begun and in its
answers, so a call costs nothing for being watched, and even a frozen worker is noticed.

A time in which the server itself stood still is charged to nobody. And nobody is late who is found so only once: what a
worker has sent is read between two looks.
"""

from __future__ import annotations

import asyncio

from modelserve.errors import PredictTimeout, QueueTimeout
from modelserve.metrics import DeploymentMetrics
from modelserve.runtime.budget import Budget
from modelserve.runtime.dealer import Dealer
from modelserve.runtime.lane import Lane
from modelserve.runtime.limits import Limits
from modelserve.runtime.pending import Pending
from modelserve.runtime.queue import Queue
from modelserve.stalls import Mark, Stalls

__all__ = ["Watch", "overran"]

# How often progress is looked at; a call that overruns is noticed at most three of these late.
TICK_S = 0.1

# A worker is killed for a client that left only if it is still at the call by then: most calls are nearly done.
KILL_AFTER_S = 0.1

# An async call that overran is cancelled; if it is still there after this, its worker's event loop is blocked.
UNHEARD_S = 1.0


def overran(limit_s: float, log: str = "") -> PredictTimeout:
    """Return the error of a call that ran longer than its deployment allows."""
    return PredictTimeout(f"The call ran longer than {limit_s:g} seconds, the most that this model is given.", log=log)


class Watch:
    """Ends what takes too long.

    Args:
        limits: The deployment's.
        queue: Where calls wait.
        dealer: Has the lanes where they run.
        budget: Of replacements; a client's leaving ends no worker beyond it.
        metrics: Where calls that took too long are counted.
        stalls: Tells how long the server stood still.
    """

    def __init__(
        self,
        limits: Limits,
        queue: Queue,
        dealer: Dealer,
        *,
        budget: Budget,
        metrics: DeploymentMetrics,
        stalls: Stalls,
    ) -> None:
        self._stalls = stalls
        self._lost_s = 0.0
        self._suspects: set[Lane] = set()
        self._limits = limits
        self._queue = queue
        self._dealer = dealer
        self._budget = budget
        self._metrics = metrics
        self._tick_s = min(TICK_S, limits.predict_timeout_s / 4)
        self._loop: asyncio.AbstractEventLoop
        self._ticking: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch on this loop from now on."""
        self._loop = loop

    def stop(self) -> None:
        """Tick no more."""
        if self._ticking is not None:
            self._ticking.cancel()

    def wake(self) -> None:
        """Tick from now on, until nothing runs; to be called for every call where there is a predict_timeout_s."""
        if self._ticking is None:
            self._lost_s = self._stalls.lost_s
            self._ticking = self._loop.call_later(self._tick_s, self._tick)

    def limit(self, pending: Pending) -> None:
        """Answer a call at its deadline.

        Raises:
            QueueTimeout: It has passed already.
        """
        if pending.call.deadline <= self._loop.time():
            raise QueueTimeout("The call's deadline passed before it could wait for a worker.")
        self._await_deadline(pending, pending.call.deadline - self._loop.time())

    def left(self, pending: Pending) -> None:
        """A client has left: its waiting call is dropped; a running one is finished, or ended where that is chosen."""
        if pending.replica is None:
            self._queue.forget(pending)
            self._dealer.soon()  # that may have been the last one
        else:
            self._give_up(pending)

    def _await_deadline(self, pending: Pending, left_s: float) -> None:
        pending.timer = self._loop.call_later(left_s, self._overdue, pending, left_s, self._stalls.mark())

    def _overdue(self, pending: Pending, seconds: float, since: Mark) -> None:
        pending.timer = None
        if pending.is_settled:
            return
        if owed_s := self._stalls.owed_s(seconds, since):
            pending.call.deadline = self._loop.time() + owed_s  # the worker that it is not yet sent to looks at it too
            self._await_deadline(pending, owed_s)
            return
        lane = None if pending.replica is None else self._dealer.lanes.get(pending.replica)
        if lane is not None and lane.has_begun(pending):
            self._metrics.timed_out("predict")
            pending.fail(PredictTimeout("The call's deadline passed while it ran."))
        else:
            self._metrics.timed_out("queue")
            pending.fail(QueueTimeout("The call's deadline passed while it waited for a worker; it was not run."))
        self.left(pending)

    def _give_up(self, pending: Pending) -> None:
        assert pending.replica is not None, "only what was sent can be given up"
        if pending.replica in self._dealer.lanes:
            pending.replica.cancel([pending.call.id])
            if self._limits.kill_cancelled:
                self._stalls.call_later(KILL_AFTER_S, self._kill, pending)

    def _kill(self, pending: Pending) -> None:
        """End the worker that is still at a call nobody waits for. Calls of an async model are cancelled instead."""
        lane = None if pending.replica is None else self._dealer.lanes.get(pending.replica)
        if lane is None or lane.is_ending or lane.is_concurrent or pending not in lane.running():
            return
        if not self._budget.wait_s():
            self._dealer.end(lane, "cancelled", "ended because the client of its call had left")

    def _tick(self) -> None:
        self._ticking = None
        try:
            self._look()
        finally:  # whatever becomes of one look, the event loop tells of it and calls are watched on
            if not self._dealer.is_idle:
                self.wake()

    def _look(self) -> None:
        now = self._loop.time()
        lanes = [lane for lane in self._dealer.lanes.values() if not lane.is_ending]
        self._forget_lost(lanes)
        before, self._suspects = self._suspects, set()
        for lane in lanes:
            is_late = any(self._late(lane, now)) if lane.is_concurrent else self._is_stuck(lane, now)
            if not is_late and not self._is_unheard(lane, now):
                continue
            if lane not in before:
                self._suspects.add(lane)
            elif lane.is_concurrent:
                self._look_at_each(lane, now)
            else:
                self._time_out(lane.running())
                self._end_overrun(lane)

    def _forget_lost(self, lanes: list[Lane]) -> None:
        """Charge nobody for the time in which the server stood still since the last look."""
        lost_s, self._lost_s = self._stalls.lost_s - self._lost_s, self._stalls.lost_s
        if not lost_s:
            return
        for lane in lanes:
            lane.progress_s += lost_s
            for pending in lane.pendings():
                pending.sent_s += lost_s
                pending.overran_s += lost_s if pending.overran_s else 0.0

    def _is_stuck(self, lane: Lane, now: float) -> bool:
        """Tell whether a worker that runs calls in turn has made no progress for too long."""
        running = lane.running()
        stream = running[-1].stream if running else None
        progress = (_begun(lane), lane.answered_calls, stream.fed if stream else 0) if len(lane) else None
        is_held = stream is not None and stream.is_held  # it waits for its client
        if progress is None or progress != lane.progress or is_held:
            lane.progress, lane.progress_s = progress, now
            return False
        return now - lane.progress_s >= self._limits.predict_timeout_s

    def _look_at_each(self, lane: Lane, now: float) -> None:
        """Cancel each call that has run too long beside others; end the worker if it does not listen.

        One that was sent so long ago and has not begun is not to blame: the worker's event loop is blocked, and another
        worker runs the call.
        """
        late = self._late(lane, now)
        begun = [pending for pending in late if lane.has_begun(pending)]
        self._time_out(begun, f"it ran longer than predict_timeout_s = {self._limits.predict_timeout_s:g}; cancelled")
        if begun:
            lane.replica.cancel([pending.call.id for pending in begun])
        for pending in begun:
            pending.overran_s = now
        if self._is_unheard(lane, now) or len(begun) < len(late):
            self._end_overrun(lane)

    def _late(self, lane: Lane, now: float) -> list[Pending]:
        return [pending for pending in lane.pendings() if self._is_late(pending, now)]

    def _is_unheard(self, lane: Lane, now: float) -> bool:
        return any(pending.overran_s and now - pending.overran_s >= UNHEARD_S for pending in lane.pendings())

    def _is_late(self, pending: Pending, now: float) -> bool:
        stream = pending.stream
        if stream is not None and (stream.is_held or stream.fed != pending.seen_parts):
            pending.seen_parts, pending.sent_s = stream.fed, now
        return not pending.overran_s and now - pending.sent_s >= self._limits.predict_timeout_s

    def _time_out(self, late: list[Pending], log: str = "") -> None:
        for pending in late:
            if not pending.is_settled:
                self._metrics.timed_out("predict")
                pending.fail(overran(self._limits.predict_timeout_s, log))

    def _end_overrun(self, lane: Lane) -> None:
        limit_s = self._limits.predict_timeout_s
        self._dealer.end(lane, "timeout", f"ended because a call ran longer than predict_timeout_s = {limit_s:g}")


def _begun(lane: Lane) -> int:
    """Return how many calls a worker has begun, of those it was sent. It never falls, whatever the worker writes."""
    before = lane.progress[0] if lane.progress else 0
    return max(before, min(lane.replica.begun, lane.pendings()[-1].number + 1))
