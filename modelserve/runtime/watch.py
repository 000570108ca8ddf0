"""Watches the clock and the clients: deadlines, calls that run too long, and callers that leave.

A deadline has a timer of its own, as few calls have one. Calls that overrun are found by one timer for the whole
deployment, which ticks only while something runs: it sees a worker's progress in the count of calls begun and in its
answers, so a call costs nothing for being watched, and even a frozen worker is noticed.
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

__all__ = ["Watch", "overran"]

# How often progress is looked at; a call that overruns is noticed at most two of these late.
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
    """

    def __init__(
        self, limits: Limits, queue: Queue, dealer: Dealer, *, budget: Budget, metrics: DeploymentMetrics
    ) -> None:
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
            self._ticking = self._loop.call_later(self._tick_s, self._tick)

    def limit(self, pending: Pending) -> None:
        """Answer a call at its deadline.

        Raises:
            QueueTimeout: It has passed already.
        """
        if pending.call.deadline <= self._loop.time():
            raise QueueTimeout("The call's deadline passed before it could wait for a worker.")
        pending.timer = self._loop.call_at(pending.call.deadline, self._overdue, pending)

    def left(self, pending: Pending) -> None:
        """A client has left: its waiting call is dropped; a running one is finished, or ended where that is chosen."""
        if pending.replica is None:
            self._queue.forget(pending)
            self._dealer.soon()  # that may have been the last one
        else:
            self._give_up(pending)

    def _overdue(self, pending: Pending) -> None:
        pending.timer = None
        if pending.is_settled:
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
                self._loop.call_later(KILL_AFTER_S, self._kill, pending)

    def _kill(self, pending: Pending) -> None:
        """End the worker that is still at a call nobody waits for. Calls of an async model are cancelled instead."""
        lane = None if pending.replica is None else self._dealer.lanes.get(pending.replica)
        if lane is None or lane.is_ending or lane.is_concurrent or pending not in lane.running():
            return
        if not self._budget.wait_s():
            self._end(lane, "cancelled", "ended because the client of its call had left")

    def _tick(self) -> None:
        self._ticking = None
        now = self._loop.time()
        for lane in list(self._dealer.lanes.values()):
            if lane.is_ending:
                continue
            if lane.is_concurrent:
                self._look_at_each(lane, now)
            elif self._is_stuck(lane, now):
                self._time_out(lane.running())
                self._end_overrun(lane)
        if not self._dealer.is_idle:
            self.wake()

    def _is_stuck(self, lane: Lane, now: float) -> bool:
        """Tell whether a worker that runs calls in turn has made no progress for too long."""
        running = lane.running()
        stream = running[-1].stream if running else None
        progress = (lane.replica.begun, lane.answered_calls, stream.fed if stream else 0) if len(lane) else None
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
        late = [pending for pending in lane.pendings() if self._is_late(pending, now)]
        begun = [pending for pending in late if lane.has_begun(pending)]
        self._time_out(begun, f"it ran longer than predict_timeout_s = {self._limits.predict_timeout_s:g}; cancelled")
        if begun:
            lane.replica.cancel([pending.call.id for pending in begun])
        for pending in begun:
            pending.overran_s = now
        is_unheard = any(pending.overran_s and now - pending.overran_s >= UNHEARD_S for pending in lane.pendings())
        if is_unheard or len(begun) < len(late):
            self._end_overrun(lane)

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
        self._end(lane, "timeout", f"ended because a call ran longer than predict_timeout_s = {limit_s:g}")

    def _end(self, lane: Lane, reason: str, detail: str) -> None:
        lane.is_ending = True
        self._dealer.close(lane, reason)
        lane.replica.end(reason, detail)
