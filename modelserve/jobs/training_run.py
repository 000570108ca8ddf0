"""Runs one training: a worker of its own is started, given the call, listened to, and ended.

    Replica.start -> send(call) -> Part: progress -> Report ... Part: done | failed, or lost -> Ending

It runs on the event loop and waits for nothing but the worker.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from modelserve.jobs.job import Job, Report, Status
from modelserve.jobs.log_limit import shorten
from modelserve.jobs.run import STOPPED, Ending
from modelserve.messages import (
    Answers,
    Call,
    Failed,
    Failure,
    Part,
    TrainingDone,
    TrainingEvent,
    TrainingFailed,
    TrainingProgress,
    decode_training_event,
)
from modelserve.regular_files import append
from modelserve.runtime.interface import Exit, Misbehaved, Replica, StartFailed
from modelserve.stalls import Delay, Stalls

__all__ = ["TrainingRun"]

logger = logging.getLogger(__name__)

# The one call of a training's worker.
CALL_ID = 1

# A worker whose training is over gets this long to end by itself, for what libraries do at exit.
END_WAIT_S = 1.0

# Most that one event but the last may be: numbers by name, and far more of them than anybody plots.
MOST_EVENT_BYTES = 1024 * 1024

# What a worker may send: ten times a second some thousand parts, and of large ones half as many bytes, as
# :mod:`modelserve.runtime.news` gathers them; at once what fits into a channel that the server could not read for a
# while. A MiB of them costs the server up to 60 ms.
PARTS_PER_S = 30_000
PARTS_AT_ONCE = 200_000
BYTES_PER_S = 4 * 1024 * 1024
BYTES_AT_ONCE = 8 * 1024 * 1024

# What a client may read of a worker that could not start; the job's log says more.
NOT_STARTED = {
    "load": "The model could not be loaded; the job's log says why.",
    "describe": "The model could not be described; the job's log says why.",
}


class _Pace:
    """How much a worker may still send, which grows with time.

    Args:
        what: Of what, in the plural.
        per_s: How much in a second.
        at_once: How much after a while in which nothing came.
        clock: Returns the time in seconds; monotonic.
    """

    def __init__(self, what: str, per_s: int, at_once: int, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._what = what
        self._per_s = per_s
        self._most = at_once
        self._left: float = at_once
        self._then_s = clock()

    def count(self, number: int) -> None:
        """Count what has come.

        Raises:
            ValueError: It is more than any training sends.
        """
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._then_s) * self._per_s) - number
        self._then_s = now
        if self._left < 0:
            raise ValueError(f"more than {self._per_s} {self._what} of events a second")


class TrainingRun:
    """A :class:`modelserve.jobs.run.Run` of ``train``; also the listener of its worker.

    Args:
        job: It.
        replica: Made by ``Fleet.training``, not started yet.
        log: The job's log; what the worker could not say there itself is appended.
        report: Is told what the training tells.
        cancel_s: How long a cancelled training may take to end by itself.
        stalls: Tells how long the server stood still.
    """

    def __init__(
        self,
        job: Job,
        replica: Replica,
        *,
        log: Path,
        report: Callable[[Report], None],
        cancel_s: float,
        stalls: Stalls | None = None,
    ) -> None:
        self.job = job
        self._replica = replica
        self._log = log
        self._report = report
        self._cancel_s = cancel_s
        self._stalls = stalls or Stalls()
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        clock = asyncio.get_running_loop().time
        self._parts = _Pace("parts", PARTS_PER_S, PARTS_AT_ONCE, clock=clock)
        self._bytes = _Pace("bytes", BYTES_PER_S, BYTES_AT_ONCE, clock=clock)
        self._is_answered = False
        self._is_started = False
        self._is_asked = False
        self._timer: Delay | None = None
        self._end_s = math.inf

    @property
    def pid(self) -> int:
        return self._replica.pid

    async def ending(self) -> Ending:
        starting = asyncio.ensure_future(self._start())
        try:
            return await self._ending
        finally:
            starting.cancel()  # which ends a worker that is not started yet
            await asyncio.gather(starting, return_exceptions=True)
            self._forget_timer()

    def cancel(self) -> None:
        self.stop(self._cancel_s)

    def stop(self, wait_s: float) -> None:
        wait_s = wait_s if self._is_started else 0.0  # else there is nothing that could heed it
        end_s = asyncio.get_running_loop().time() + wait_s
        if end_s < self._end_s:  # asked again, it has no more time than before
            self._forget_timer()
            self._end_s = end_s
            self._timer = self._stalls.call_later(wait_s, self._settle, STOPPED)
        if self._is_started and not self._is_asked:
            self._replica.cancel([CALL_ID])
        self._is_asked = True

    async def close(self) -> None:
        has_ended_by_itself = self._ending.done() and self._ending.result() is not STOPPED
        await self._replica.stop(END_WAIT_S if has_ended_by_itself else 0.0)
        await asyncio.to_thread(shorten, self._log)  # nobody writes it any more

    def due(self, replica: Replica) -> int:
        return 1

    def answered(self, replica: Replica, answers: Answers) -> None:
        if self._is_answered or [answer.id for answer in answers.answers] != [CALL_ID]:
            raise Misbehaved("answered a call that it does not have")
        (answer,) = answers.answers
        self._is_answered = True
        if answer.failure is not None:
            self._settle(self._failed(answer.failure))
        elif not answer.stream:
            raise Misbehaved("answered a training otherwise than with a stream")

    def part(self, replica: Replica, part: Part) -> None:
        try:
            self._hear(part)
        except Misbehaved:
            raise
        except Exception:  # the border of the run: whatever it is, the job must not wait for ever
            logger.exception("what a training told could not be taken", extra={"job": self.job.uuid})
            self._settle(Ending(Status.ERROR, "The server could not take what the training told."))

    def _hear(self, part: Part) -> None:
        if self._ending.done():  # its worker is about to be ended, and nothing that it says matters any more
            return
        try:
            event = self._event(part)
        except ValueError as error:  # msgspec's are such too
            self._settle(self._failed(_unreadable(error)))
            raise Misbehaved(f"told what no training tells: {error}") from error
        if isinstance(event, TrainingProgress) and not part.last:
            self._report(Report(self.job.uuid, event.progress, event.metrics, event.step))
        elif part.last:
            self._settle(self._end(event, part.failure))

    def _event(self, part: Part) -> TrainingEvent | None:
        """Return what a part tells.

        Raises:
            ValueError: No training tells such a thing.
        """
        if part.id != CALL_ID or not self._is_answered:
            raise ValueError("an event of no training that runs")
        self._parts.count(1)
        if not part.last:
            self._bytes.count(len(part.data))
        if not part.last and len(part.data) > MOST_EVENT_BYTES:
            raise ValueError(f"an event of {len(part.data)} bytes; at most {MOST_EVENT_BYTES} are taken")
        event = decode_training_event(part.data) if part.data else None
        if isinstance(event, TrainingProgress) and not 0 <= (event.progress or 0) <= 1:
            raise ValueError(f"a progress of {event.progress:g}, which is not from 0 to 1")
        return event

    def folder_gone(self, replica: Replica) -> None:
        """Go on: the one call that the worker has runs."""

    def lost(self, replica: Replica, end: Exit) -> None:
        extra = {"deployment": self.job.deployment, "job": self.job.uuid}
        if self._is_asked:
            self._settle(STOPPED)
        elif not self._ending.done():
            logger.error("the process of a training ended: %s", end.detail, extra=extra)
            self._settle(Ending(Status.ERROR, f"The training's process ended before the training had: {end.detail}."))

    async def _start(self) -> None:
        try:
            await self._begin()
        except StartFailed as error:
            self._settle(self._not_started(error.failed))
        except Exception:  # the border of the run: whatever it is, the job must not wait for ever
            logger.exception("a training's worker could not be started", extra={"job": self.job.uuid})
            self._settle(Ending(Status.ERROR, "The server could not start a worker for the training."))

    async def _begin(self) -> None:
        await self._replica.start(self)
        self._is_started = True
        call = msgspec.msgpack.decode(self.job.request, type=Call)
        self._replica.send([msgspec.structs.replace(call, id=CALL_ID, deadline=0.0, operation="train")])

    def _end(self, event: TrainingEvent | None, failure: Failure | None) -> Ending:
        """Return how a training ended that came to an end by itself; one that heeded the wish for it did not."""
        if self._is_asked and isinstance(event, TrainingDone | TrainingFailed) and event.heeded:
            return STOPPED
        if failure is not None:
            return self._failed(failure)
        if isinstance(event, TrainingDone):
            return Ending(Status.DONE, output=event.output)
        return Ending(Status.ERROR, "The training ended without a result.")

    def _failed(self, failure: Failure) -> Ending:
        if failure.log and failure.status >= 500:
            extra = {"deployment": self.job.deployment, "request_id": self.job.request_id, "job": self.job.uuid}
            extra["traceback"] = failure.traceback
            logger.error("training failed: %s", failure.cause, extra=extra)
        return Ending(Status.ERROR, failure.message)

    def _not_started(self, failed: Failed) -> Ending:
        extra = {"deployment": self.job.deployment, "job": self.job.uuid, "traceback": failed.traceback}
        logger.error("model could not start for a training (%s): %s", failed.stage, failed.message, extra=extra)
        try:
            append(self._log, f"{failed.traceback or failed.message}\n".encode(errors="backslashreplace"))
        except OSError as error:
            logger.warning("the log of a job cannot be written: %s", error.strerror, extra={"job": self.job.uuid})
        return Ending(Status.ERROR, NOT_STARTED.get(failed.stage, "The training could not start."))

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _settle(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)


def _unreadable(error: ValueError) -> Failure:
    return Failure(500, "model_error", "The training told what cannot be read.", log=str(error))
