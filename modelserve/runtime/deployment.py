"""One deployment: a named model, its queue of calls, and the workers that take from it.

    call() -> queue -> dealer -> the free worker with the least to do -> Answer

The parts are each in a file of their own: queue.py holds what waits, dealer.py deals it out, lane.py knows what is at a
worker, watch.py ends what takes too long, slot.py and rotation.py replace workers, fate.py says what becomes of a dead
one's calls. This file puts them together. It knows calls and answers, never HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from modelserve.errors import ModelserveError, QueueTimeout, Stopping, WorkerDied
from modelserve.messages import Answer, Answers, Call, Description, Failed, Part
from modelserve.metrics import DeploymentMetrics
from modelserve.runtime.budget import Budget, Gpus
from modelserve.runtime.dealer import Dealer
from modelserve.runtime.fate import OURS, fates
from modelserve.runtime.interface import Exit, Misbehaved, Replica, StartFailed
from modelserve.runtime.lane import Lane
from modelserve.runtime.limits import Limits
from modelserve.runtime.outlook import LOOK_S, Outlook
from modelserve.runtime.pending import Pending
from modelserve.runtime.queue import Queue, size_of
from modelserve.runtime.report import DeploymentReport, ExitReport, ReloadReport, count_workers, report_workers
from modelserve.runtime.rotation import Rotation
from modelserve.runtime.slot import MakeReplica, Slot
from modelserve.runtime.status import ReloadFailed, Status, message, refusal, too_late
from modelserve.runtime.validating import CHECK_S, Validating
from modelserve.runtime.watch import Watch, overran
from modelserve.stalls import Stalls
from modelserve.supervised import Supervisor

__all__ = ["Deployment", "ReloadFailed", "Status"]

logger = logging.getLogger(__name__)

# So many replacements in a row must fail to start before a deployment that has no other worker is failed.
START_TRIES = 3

DIED = "The worker process that ran this call ended before it had answered."


class Deployment:
    """Answers calls with one model.

    Args:
        name: The name clients use.
        slots: One for each worker.
        limits: What it allows.
        metrics: Where this deployment counts.
        gpus: Which GPUs of the server have failed.
        stalls: Tells how long the server stood still.
    """

    def __init__(
        self,
        name: str,
        slots: Sequence[Slot],
        *,
        limits: Limits,
        metrics: DeploymentMetrics,
        gpus: Gpus | None = None,
        stalls: Stalls | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.name = name
        self.status = Status.STARTING
        self.description: Description | None = None
        self.failure: Failed | None = None
        self.trouble = ""
        self.restarts = 0
        self.last_exit: ExitReport | None = None
        self.last_reload: ReloadReport | None = None
        self._slots = slots
        self._limits = limits
        self._metrics = metrics
        self._gpus = gpus or Gpus()
        self._stalls = stalls or Stalls()
        self._budget = Budget(limits.restart_budget, lambda: self._loop.time())
        self._renewals = Budget(limits.restart_budget, lambda: self._loop.time())
        self._queue = Queue(limits.max_queue, limits.max_queue_bytes)
        self._dealer = Dealer(self._queue, metrics, limits.batch_wait_s)
        self._validating = Validating(self._dealer, limits.max_queue, limits.max_queue_bytes, stalls=self._stalls)
        self._watch = Watch(
            limits, self._queue, self._dealer, budget=self._budget, metrics=metrics, stalls=self._stalls
        )
        self._outlook = Outlook(slots, self._queue)
        self._looking: asyncio.TimerHandle | None = None
        self._supervisor = supervisor or Supervisor()
        self._rotation = Rotation(self, slots, self._dealer, limits, supervisor=self._supervisor, stalls=self._stalls)
        self._loop: asyncio.AbstractEventLoop
        self._ids = itertools.count(1)
        self._failed_starts = 0
        self._keepers: dict[Slot, asyncio.Task[None]] = {}
        self._tried: set[Slot] = set()  # their first start has ended, in one way or the other
        self._begun = asyncio.Event()
        self._is_stopped = False
        metrics.watch_queue(lambda: self._queue.calls, lambda: self._queue.bytes)
        metrics.watch_workers(lambda: count_workers(self._slots, self._dealer))

    @property
    def workers(self) -> dict[str, int]:
        """The name and process id of each warm worker."""
        return {lane.replica.name: lane.replica.pid for lane in self._dealer.lanes.values()}

    @property
    def replicas(self) -> list[Replica]:
        """Every worker that is warm, those that finish their calls before they end too."""
        return list(self._dealer.lanes)

    @property
    def gpus(self) -> set[str]:
        """The GPUs that its workers are given."""
        return {slot.gpu for slot in self._slots if slot.gpu}

    @property
    def queued_bytes(self) -> int:
        """How many bytes of calls wait for a worker."""
        return self._queue.bytes

    @property
    def working_bytes(self) -> int:
        """How many bytes of calls are at workers."""
        return sum(lane.bytes for lane in self._dealer.lanes.values())

    @property
    def validating_bytes(self) -> int:
        """How many bytes of calls are to be validated."""
        return self._validating.bytes

    @property
    def reloads(self) -> int:
        """How often the workers of a reload have taken over; calls that come later go to them alone."""
        return self._rotation.reloads

    @property
    def message(self) -> str:
        """What is wrong with it, in a sentence that a client may read; "" for nothing."""
        return message(self.status, self.trouble, self.failure)

    def status_report(self) -> DeploymentReport:
        """Return all that its operator may want to know."""
        return DeploymentReport(
            name=self.name,
            status=self.status.value,
            message=self.message,
            version="" if self.description is None else self.description.metadata.version,
            workers=report_workers(self._slots, self._dealer),
            restarts=self.restarts,
            queue_calls=self._queue.calls,
            queue_bytes=self._queue.bytes,
            working_bytes=self.working_bytes,
            validating_bytes=self.validating_bytes,
            last_exit=self.last_exit,
            last_reload=self.last_reload,
        )

    async def start(self) -> None:
        """Start every worker and wait until each is warm or has failed. One warm worker makes the deployment ready."""
        self._loop = asyncio.get_running_loop()
        self._dealer.start(self._loop)
        self._watch.start(self._loop)
        self._rotation.start()
        self._begun.set()
        await asyncio.gather(*map(self._start, self._slots))
        if self.status is Status.STARTING:
            self.status = Status.FAILED

    def check_room(self, size: int) -> None:
        """Check that a call of so many bytes would be taken now, before its body is read.

        Raises:
            NotReady: No worker is warm and none is being replaced.
            QueueFull: ``max_queue`` calls or ``max_queue_bytes`` are waiting.
            Stopping: The server is shutting down.
        """
        if self.status is not Status.READY:
            self._check_outlook()
        self._queue.check_room(size)

    def call(self, call: Call) -> asyncio.Future[Answer]:
        """Queue a call and return the future of its answer; one that is cancelled leaves the queue.

        An answer with ``stream`` set is a :class:`modelserve.runtime.streams.Streamed`, whose ``parts`` the caller
        reads and closes.

        Raises:
            NotReady: No worker is warm and none is being replaced.
            QueueFull: ``max_queue`` calls or ``max_queue_bytes`` are waiting.
            QueueTimeout: The call's deadline has passed already.
            Stopping: The server is shutting down.
        """
        size = size_of(call) if call.form else len(call.body)  # spares most calls a call
        self.check_room(size)
        call.id = next(self._ids)
        pending = Pending.of(call, size, self._watch.left, self._loop)
        try:
            if call.deadline:
                self._check_outlook(call.deadline - self._loop.time())
                self._watch.limit(pending)
            if self._limits.batch_wait_s:
                pending.since = self._loop.time()
            self._queue.push(pending)
        except BaseException:  # it is not in the queue, and its deadline must not take it out of there
            pending.release()
            raise
        try:
            self._dealer.came()
            if self._limits.predict_timeout_s:
                self._watch.wake()
        except BaseException:  # nobody would wait for it
            pending.cancel()
            raise
        return pending

    async def check(self, call: Call) -> Answer:
        """Have a worker validate a call, beside those that it runs: see ``Call.operation``.

        Raises:
            NotReady: No worker is warm and none is being replaced.
            QueueFull: ``max_queue`` calls or ``max_queue_bytes`` are waiting.
            QueueTimeout: The call's deadline has passed, or no worker found the time for it within ``CHECK_S``.
            Stopping: The server is shutting down.
        """
        self.check_room(0)
        call.id = next(self._ids)
        left_s = min(CHECK_S, call.deadline - time.monotonic()) if call.deadline else CHECK_S
        try:
            async with self._stalls.timeout(left_s):
                answer = await self._validating.run(call)
        except TimeoutError:
            raise QueueTimeout("The workers were too busy to look at the arguments in time.") from None
        except WorkerDied:  # of what it ran, most likely: once more, as any other call
            answer = None
        return await self.call(call) if answer is None else answer

    async def drain(self) -> None:
        """Take no more calls and return once those accepted are answered; no worker is started but for those."""
        self.status = Status.STOPPING
        await self._rotation.close()
        if self._dealer.open or not self._queue.calls:
            await self._keep_no_more()
        await self._dealer.idle()
        await self._keep_no_more()

    def abandon(self) -> None:
        """Fail what is unanswered, so that nobody waits for it any longer."""
        self.status = Status.STOPPING
        sent = [part for lane in self._dealer.lanes.values() for part in lane.clear()]
        error = Stopping("The server is shutting down and could not finish this call.")
        self._fail(itertools.chain(self._queue.clear(), *sent), error)

    async def stop(self, wait_s: float) -> None:
        """Fail what is unanswered and end every worker; each may take ``wait_s`` seconds to end by itself."""
        self._is_stopped = True
        self.abandon()
        self._watch.stop()
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(self._rotation.stop(), self._keep_no_more(), return_exceptions=True)
        held = {slot.replica for slot in self._slots}
        leaving = [replica.stop(wait_s) for replica in self._dealer.lanes if replica not in held]
        await asyncio.gather(*(slot.stop(wait_s) for slot in self._slots), *leaving)

    async def reload(self, makers: Sequence[MakeReplica], taken_over: Callable[[], None] = lambda: None) -> None:
        """Replace every worker by a new one and let the old ones finish; return once they have ended.

        Workers that are being started meanwhile are overtaken, the very first too.

        Args:
            makers: Make the new workers, one for each slot.
            taken_over: Called once all that comes goes to the new ones alone.

        Raises:
            ReloadFailed: A new worker could not be started, or the server is shutting down; the old ones serve on.
        """
        await self._begun.wait()
        try:
            await self._rotation.reload(makers, self._limits.grace_s, taken_over)
        except StartFailed as error:
            why = f"its new workers could not {error.failed.stage} the model: {error.failed.message}"
            self.note_reload(why)
            raise ReloadFailed(f"{self.name} was not reloaded, {why}", log=error.failed.traceback) from error
        self.note_reload("")

    def note_reload(self, failure: str) -> None:
        """Note how a reload went: why it failed, or "" where it did not."""
        extra = {"deployment": self.name}
        if failure:
            logger.error("reload failed, the old workers stay: %s", failure, extra=extra)
        else:
            logger.info("reloaded", extra=extra)
        self.last_reload = ReloadReport(not failure, failure, datetime.now(UTC))

    def warm(self, replica: Replica, description: Description) -> None:
        """A slot has a warm worker: it takes calls from now on."""
        self.description = description
        self.trouble = ""
        self._failed_starts = 0
        lane = Lane(replica, description, self._metrics.predict_time.observe)
        self._rotation.limit(lane)
        lane.max_bytes = self._limits.max_queue_bytes or sys.maxsize
        if self.status is not Status.STOPPING:
            self.status = Status.READY
        logger.info("worker is warm", extra={"deployment": self.name, "worker": replica.name, "pid": replica.pid})
        self._dealer.add(lane)
        self._validating.wake()
        self._keep()

    def failed(self, failed: Failed) -> None:
        """A worker could not start; when no other serves and this is not the first in a row, calls stop waiting."""
        self.failure = failed
        self._failed_starts += 1
        if self._failed_starts >= START_TRIES:
            self._give_up("its model cannot be started any more")

    def replacing(self, reason: str) -> None:
        """A slot starts a worker in place of one that is gone."""
        self._budget.spend()
        self.restarts += 1
        self._metrics.restarted(reason)

    def exhausted(self, why: str) -> None:
        """A slot stays empty for now; when no other worker serves, calls stop waiting."""
        self._give_up(why)

    def answered(self, replica: Replica, answers: Answers) -> None:
        """A worker has answered calls; it has room for more now."""
        lane = self._lane(replica)
        self._dealer.answered(lane, answers)
        if lane.answered_calls >= lane.call_limit:
            self._rotation.recycle(lane, f"after {lane.answered_calls} calls")

    def folder_gone(self, replica: Replica) -> None:
        """A worker had lost its temporary folder; a new one takes its place, within the budget."""
        lane = self._lane(replica)
        if not self._renewals.wait_s():
            self._renewals.spend()
            self._rotation.recycle(lane, "as its temporary folder was gone")

    def _lane(self, replica: Replica) -> Lane:
        lane = self._dealer.lanes.get(replica)
        if lane is None:
            raise Misbehaved("answered before it was given a call")
        return lane

    def due(self, replica: Replica) -> int:
        """Return how many more calls a worker may answer."""
        lane = self._dealer.lanes.get(replica)
        return 0 if lane is None else lane.due

    def part(self, replica: Replica, part: Part) -> None:
        """A worker has sent the next part of a streamed answer."""
        lane = self._lane(replica)
        lane.part(part)
        if part.last:
            self._dealer.freed(lane)

    def lost(self, replica: Replica, end: Exit) -> None:
        """A worker has ended: the call it ran fails, all others go to the next worker."""
        lane = self._dealer.remove(replica)
        slot = next((slot for slot in self._slots if slot.replica is replica), None)
        try:
            if lane is not None:
                reason = lane.closing if end.reason == "stopped" and lane.closing else end.reason
                self._bury(lane, Exit(reason, end.detail))
            if slot is not None and end.reason == "device":
                self._gpus.note_exit(slot.gpu)
        finally:  # whatever fails, the worker is replaced
            for slot in self._slots:
                slot.lost(replica, end.reason)
        self._dealer.soon()
        self._look_ahead()
        if self.status is Status.STOPPING and self._queue.calls and not self._dealer.open:
            self._keep()

    def _bury(self, lane: Lane, end: Exit) -> None:
        name = lane.replica.name
        if not self._dealer.open and self.status is Status.READY:
            self.status = Status.RESTARTING
        self.last_exit = ExitReport(name, end.reason, end.detail, datetime.now(UTC))
        self._metrics.worker_ended(end.reason)
        if end.reason not in OURS:
            self._outlook.died(lane.answered_calls)
            running = ", ".join(pending.call.request_id for pending in lane.running()) or "no call"
            extra = {"deployment": self.name, "worker": name}
            logger.error("worker %s while it ran %s", end.detail, running, extra=extra)
        failed, again = fates(lane, end.reason)
        limit_s = self._limits.predict_timeout_s if end.reason == "timeout" else 0.0
        self._fail(failed, overran(limit_s) if limit_s else WorkerDied(DIED))
        if self.status is Status.FAILED:
            self._fail(again, refusal(self.status, self.trouble))
        else:
            self._queue.put_back(again)

    async def _start(self, slot: Slot) -> None:
        await slot.start(self)
        self._tried.add(slot)
        if self.status is not Status.STARTING:
            self._keep()

    def _keep(self) -> None:
        """See to it that every slot whose first start is over has a keeper."""
        if self._is_stopped:
            return
        for slot in self._tried - self._keepers.keys():
            keep = partial(slot.keep, self, self._budget, self._gpus)
            self._keepers[slot] = self._supervisor.task("keeping workers", keep)

    async def _keep_no_more(self) -> None:
        """Start no worker in place of one that is gone, and end those that are being started so."""
        keepers = list(self._keepers.values())
        self._keepers.clear()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    def _check_outlook(self, left_s: float = math.inf) -> None:
        """Refuse a call that is not taken now, or for which no worker would be there in time."""
        if self.status not in (Status.READY, Status.RESTARTING):
            raise refusal(self.status, self.trouble)
        if self.status is Status.RESTARTING and self._outlook.is_hopeless(left_s):
            raise too_late()

    def _look_ahead(self) -> None:
        """While there is no worker, refuse what waits in vain, now and again later."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if self.status is not Status.RESTARTING:
            return
        for pending in self._outlook.late(self._loop.time()):
            pending.fail(too_late())
            self._queue.forget(pending)
        self._looking = self._loop.call_later(LOOK_S, self._look_ahead)

    def _give_up(self, why: str) -> None:
        if self._dealer.open or self.status not in (Status.RESTARTING, Status.STOPPING):
            return
        if self.status is Status.RESTARTING:
            self.status = Status.FAILED
            self.trouble = why
            logger.error("deployment has failed, %s; calls are refused", why, extra={"deployment": self.name})
        self._fail(self._queue.clear(), refusal(self.status, self.trouble))
        self._dealer.soon()  # that may have been the last ones

    def _fail(self, pendings: Iterable[Pending], error: ModelserveError) -> None:
        for pending in pendings:
            pending.fail(error)
