"""One deployment: a named model, its queue of calls, and the workers that take from it.

    call() -> queue -> the free worker with the least to do -> Answer

Calls wait in one queue. Once per turn of the event loop, what waits is dealt out to the workers that have room, so a
worker that becomes free takes everything that has gathered meanwhile, up to what it may hold, and batches form under
load without a timer. This file knows calls and answers, never HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from modelserve.errors import NotReady, QueueFull, Stopping, Unavailable, WorkerDied
from modelserve.messages import Answer, Answers, Call, Description, Failed, Failure
from modelserve.metrics import DeploymentMetrics
from modelserve.runtime.interface import Exit, Replica
from modelserve.runtime.lane import Lane, Pending
from modelserve.runtime.slot import Slot

__all__ = ["Deployment", "Status"]

logger = logging.getLogger(__name__)

# So many replacements in a row must fail to start before a deployment that has no other worker is failed.
START_TRIES = 3

DIED = "The worker process that ran this call ended before it had answered."


class Status(StrEnum):
    """What a deployment is doing."""

    # Its workers are loading and warming for the first time.
    STARTING = "starting"
    # At least one worker is warm.
    READY = "ready"
    # It had warm workers and is replacing the last that died; calls wait in the queue.
    RESTARTING = "restarting"
    # Its model could not be loaded, described or warmed.
    FAILED = "failed"
    # The server is shutting down.
    STOPPING = "stopping"


class Deployment:
    """Answers calls with one model.

    Args:
        name: The name clients use.
        slots: One for each worker.
        max_queue: How many calls may wait.
        metrics: Where this deployment counts.
    """

    def __init__(self, name: str, slots: Sequence[Slot], *, max_queue: int, metrics: DeploymentMetrics) -> None:
        self.name = name
        self.status = Status.STARTING
        self.description: Description | None = None
        self.failure: Failed | None = None
        self._slots = slots
        self._max_queue = max_queue
        self._metrics = metrics
        self._queue: deque[Pending] = deque()
        self._lanes: dict[Replica, Lane] = {}
        self._ids = itertools.count(1)
        self._is_dealing = False
        self._failed_starts = 0
        self._last_dealt = 1
        self._keepers: list[asyncio.Task[None]] = []
        self._idle = asyncio.Event()

    @property
    def workers(self) -> dict[str, int]:
        """The name and process id of each warm worker."""
        return {lane.replica.name: lane.replica.pid for lane in self._lanes.values()}

    @property
    def _batches(self) -> bool:
        return self.description is not None and self.description.max_batch_size > 1

    async def start(self) -> None:
        """Start every worker and wait until each is warm or has failed. One warm worker makes the deployment ready."""
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(slot.start(self) for slot in self._slots))
        if not self._lanes and self.status is Status.STARTING:
            self.status = Status.FAILED
            return
        self._keepers = [asyncio.create_task(slot.keep(self)) for slot in self._slots]

    def call(self, call: Call) -> asyncio.Future[Answer]:
        """Queue a call and return the future of its answer; one that is cancelled leaves the queue.

        Raises:
            NotReady: No worker is warm and none is being replaced.
            QueueFull: ``max_queue`` calls are waiting.
            Stopping: The server is shutting down.
        """
        if self.status is not Status.READY and self.status is not Status.RESTARTING:
            raise self._refusal()
        if len(self._queue) >= self._max_queue and not self._forget_given_up():
            raise QueueFull(f"{self._max_queue} calls are waiting for this model already; try again later.")
        call.id = next(self._ids)
        pending = Pending(call, self._loop.create_future())
        self._queue.append(pending)
        if self._comes_alone():
            self._deal()
        else:
            self._deal_soon()
        return pending.future

    async def drain(self) -> None:
        """Take no more calls and return once those accepted are answered."""
        if self.status is not Status.FAILED:
            self.status = Status.STOPPING
            self._deal_soon()  # notices when there is nothing left to do
            await self._idle.wait()

    def abandon(self) -> None:
        """Fail what is unanswered, so that nobody waits for it any longer."""
        self.status = Status.STOPPING
        sent = [part for lane in self._lanes.values() for part in lane.clear()]
        unanswered = itertools.chain(self._queue, *sent)
        self._fail(list(unanswered), Stopping("The server is shutting down and could not finish this call."))
        self._queue.clear()

    async def stop(self, wait_s: float) -> None:
        """Fail what is unanswered and end every worker; each may take ``wait_s`` seconds to end by itself."""
        self.abandon()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(slot.stop(wait_s) for slot in self._slots))

    def warm(self, replica: Replica, description: Description) -> None:
        """A slot has a warm worker: it takes calls from now on."""
        self.description = description
        self._failed_starts = 0
        self._lanes[replica] = Lane(replica, description.max_batch_size)
        if self.status is not Status.STOPPING:
            self.status = Status.READY
        logger.info("worker is warm", extra={"deployment": self.name, "worker": replica.name, "pid": replica.pid})
        self._count_workers()
        self._deal_soon()

    def failed(self, failed: Failed) -> None:
        """A worker could not start; when no other serves and this is not the first in a row, calls stop waiting."""
        self.failure = failed
        self._failed_starts += 1
        if not self._lanes and self.status is Status.RESTARTING and self._failed_starts >= START_TRIES:
            self.status = Status.FAILED
            waiting, self._queue = list(self._queue), deque()
            self._fail(waiting, self._refusal())

    def answered(self, replica: Replica, answers: Answers) -> None:
        """A worker has answered calls; it has room for more now."""
        self._lanes[replica].answered(answers)
        if self._queue or self.status is Status.STOPPING:
            self._deal_soon()

    def lost(self, replica: Replica, end: Exit) -> None:
        """A worker has died: the call it ran fails, all others go to the next worker.

        Calls that it had not begun are as good as never sent. Of a batch nobody can say which call was the deadly one,
        so each is run once more, alone. Of calls that are run in turn it was the last one begun; the answers to those
        before it were lost on their way, so they are run again.
        """
        begun, again = self._lanes.pop(replica).clear()
        if not self._lanes and self.status is Status.READY:
            self.status = Status.RESTARTING
        self._metrics.worker_ended(end.reason)
        self._count_workers()
        if end.reason != "stopped":
            self._log_death(replica, end, begun)
        if self._batches and len(begun) > 1:
            for pending in begun:
                pending.alone = True
        else:
            self._fail(begun[-1:], WorkerDied(DIED))
            begun = begun[:-1]
        self._queue.extendleft(reversed(begun + again))
        for slot in self._slots:
            slot.lost(replica)
        self._deal_soon()

    def _forget_given_up(self) -> bool:
        """Free the places of calls whose clients have left, and tell whether there is one now."""
        self._queue = deque(pending for pending in self._queue if not pending.future.done())
        return len(self._queue) < self._max_queue

    def _log_death(self, replica: Replica, end: Exit, running: list[Pending]) -> None:
        requests = ", ".join(pending.call.request_id for pending in running) or "no call"
        extra = {"deployment": self.name, "worker": replica.name}
        logger.error("worker %s while it ran %s", end.detail, requests, extra=extra)

    def _refusal(self) -> Unavailable:
        if self.status is Status.STOPPING:
            return Stopping("The server is shutting down.")
        if self.status is Status.FAILED:
            return NotReady("This model could not be started; the server's log says why.")
        return NotReady("This model is still being started; try again in a moment.")

    def _comes_alone(self) -> bool:
        """Tell whether a call need not wait for others of this turn of the loop: none came with the one before it."""
        return self._last_dealt == 1 and not self._is_dealing and any(not len(lane) for lane in self._lanes.values())

    def _deal_soon(self) -> None:
        """Deal once at the end of this turn of the loop, so that all of its calls go out together."""
        if not self._is_dealing:
            self._is_dealing = True
            self._loop.call_soon(self._deal)

    def _deal(self) -> None:
        self._is_dealing = False
        while self._queue and self._lanes:
            lane, room = self._freest()
            if not room:
                return
            batch = self._take(room)
            if batch:
                self._last_dealt = len(batch)
                lane.send(batch)
                self._metrics.batch_size.observe(len(batch))
        if self.status is Status.STOPPING and not self._queue and not any(len(lane) for lane in self._lanes.values()):
            self._idle.set()

    def _freest(self) -> tuple[Lane, int]:
        """Return the lane with the fewest calls at it that has room, and how much; with none, any and 0."""
        waiting = len(self._queue)
        if len(self._lanes) == 1:
            (lane,) = self._lanes.values()
            return lane, lane.room(waiting)
        lanes = [(len(lane), index, lane) for index, lane in enumerate(self._lanes.values()) if lane.room(waiting)]
        if not lanes:
            return next(iter(self._lanes.values())), 0
        lane = min(lanes)[2]
        return lane, lane.room(waiting)

    def _take(self, room: int) -> list[Pending]:
        """Take up to ``room`` waiting calls; one marked alone makes a batch of its own; those given up are dropped."""
        batch: list[Pending] = []
        while self._queue and len(batch) < room:
            if self._queue[0].alone and batch:
                break
            pending = self._queue.popleft()
            if pending.future.done():
                continue
            batch.append(pending)
            if pending.alone:
                break
        return batch

    def _fail(self, pendings: list[Pending], error: WorkerDied | Unavailable) -> None:
        failure = Failure(error.status, error.code, error.message)
        for pending in pendings:
            if not pending.future.done():
                pending.future.set_result(Answer(pending.call.id, failure=failure))

    def _count_workers(self) -> None:
        self._metrics.workers.set(len(self._lanes))
