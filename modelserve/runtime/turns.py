"""The worker's main loop for a model that runs one thing at a time: a call, a batch, or a stream.

    Intake --> Turns: Predictor --> Outlet

Every call that was sent gets one answer, in the order sent but for batches; one that was cancelled or whose deadline
has passed gets it without being run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from modelserve.errors import QueueTimeout, Stopping
from modelserve.messages import Answer, Call, Failure, Part
from modelserve.runtime.intake import CANCELLED, Intake, Item
from modelserve.runtime.outlet import Outlet
from modelserve.runtime.scratch import Scratch
from modelserve.v2.current_call import running
from modelserve.v2.failures import failure_of
from modelserve.v2.predictor import Parsed, Predictor
from modelserve.v2.streaming import Stream

__all__ = ["Begun", "Turns", "answer_unrun", "stopped"]

logger = logging.getLogger(__name__)


class Begun(Protocol):
    """The shared number of calls, in the order sent, that have begun; validating a call ahead does not begin it."""

    value: int


class Turns:
    """Runs what the intake gives until the server closes the channel or the model's GPU is broken."""

    def __init__(self, predictor: Predictor, intake: Intake, outlet: Outlet, *, begun: Begun, scratch: Scratch) -> None:
        self._predictor = predictor
        self._intake = intake
        self._outlet = outlet
        self._scratch = scratch
        self._begun = begun

    def run(self) -> None:
        """Run to the end; all answers are sent then."""
        run_frame = self._run_together if self._predictor.batches else self._run_in_turn
        while not self._predictor.is_broken and (count := self._intake.next_frame()):
            self._scratch.keep()
            self._outlet.begin()
            for answer in run_frame(count):
                self._outlet.add(answer)
            running.alone = ()
            self._outlet.flush()
            self._scratch.keep()

    def _run_in_turn(self, count: int) -> Iterator[Answer]:
        for _ in range(count):
            self._begun.value += 1
            answer = self._answer(self._intake.take())
            if answer is not None:
                yield answer
            if self._predictor.is_broken:
                return

    def _answer(self, item: Item) -> Answer | None:
        """Return the answer to a call, None where it was a stream, which is sent by then."""
        if not isinstance(item, Answer) and (unrun := answer_unrun(item)):
            return unrun
        if type(item) is Call:
            item = self._predictor.parse(item)
        if type(item) is Answer:
            return item
        assert type(item) is Parsed
        answer = self._predictor.run(item)
        if type(answer) is Answer:
            return answer
        assert type(answer) is Stream
        self._send_stream(item.id, answer)
        return None

    def _run_together(self, count: int) -> Iterator[Answer]:
        self._begun.value += count
        valid: list[Parsed] = []
        for item in self._intake.take_all():
            if not isinstance(item, Answer) and (unrun := answer_unrun(item)):
                yield unrun
                continue
            parsed = self._predictor.parse(item) if type(item) is Call else item
            if type(parsed) is Parsed:
                valid.append(parsed)
            elif type(parsed) is Answer:
                yield parsed
        yield from self._batched(valid)

    def _batched(self, valid: list[Parsed]) -> Iterable[Answer]:
        return self._predictor.run_batch(valid) if valid else ()

    def _send_stream(self, call_id: int, stream: Stream) -> None:
        self._outlet.gather(stream.answer)
        self._outlet.flush()
        try:
            last = self._send_parts(call_id, stream)
        finally:
            _close(stream)
        self._outlet.send(last)

    def _send_parts(self, call_id: int, stream: Stream) -> Part:
        """Send all parts but the last, which is returned: before it is sent, the generator is to be closed."""
        while self._intake.may_send_part():
            part = stream.next_part()
            if part.last:
                return part
            if part.data:  # else no client could see it, and it is no progress
                self._outlet.send(part)
                self._intake.sent(part)
        return Part(call_id, last=True, failure=CANCELLED if self._intake.is_left() else stopped())


def answer_unrun(item: Call | Parsed) -> Answer | None:
    """Return the answer to a call whose deadline has passed, None for one that may still be run."""
    if not item.deadline or item.deadline > time.monotonic():
        return None
    return Answer(item.id, failure=failure_of(QueueTimeout("The deadline passed before the call could be run.")))


def stopped() -> Failure:
    """Return why a stream ends that nobody can read on, because the server is closing the channel."""
    return failure_of(Stopping("The server is shutting down."))


def _close(stream: Stream) -> None:
    try:
        stream.items.close()
    except BaseException:  # the border to the model
        logger.warning("the model's generator raised when it was closed", exc_info=True)
