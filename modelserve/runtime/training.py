"""The worker's main loop for a training: one call of ``train``, answered with a stream of what it tells of itself.

    channel --Call, Cancel--> Training: Trainer --started, progress ..., done--> channel

``train`` runs on the main thread. A thread reads the channel meanwhile, so that a training hears at once that it is
cancelled. That the server closes the channel asks a training to end too. The process waits for this close in the end,
so that its last part is read whatever its size.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import Any

from modelserve.errors import BadAnswer
from modelserve.frames import Receiver
from modelserve.messages import (
    Answer,
    Call,
    Calls,
    Cancel,
    Part,
    TrainingDone,
    TrainingFailed,
    TrainingStarted,
    decode_worker_bound,
    encode_training_event,
)
from modelserve.runtime.intake import CANCELLED
from modelserve.runtime.news import News
from modelserve.runtime.outlet import Outlet
from modelserve.runtime.turns import Begun
from modelserve.runtime.vital import start_vital
from modelserve.tracebacks import author_traceback
from modelserve.v2.current_call import about, running
from modelserve.v2.failures import failure_of
from modelserve.v2.progress import progress
from modelserve.v2.trainings import Trainer

__all__ = ["Training"]


class Training:
    """Runs the first call that comes; any further one is never answered.

    Args:
        channel: The worker's end, in blocking mode.
        trainer: The model's.
        outlet: The way out.
        begun: Counts the call when it begins.
        artifacts: The folder for files to keep, "" for none.
    """

    def __init__(
        self, channel: socket.socket, trainer: Trainer, outlet: Outlet, *, begun: Begun, artifacts: str
    ) -> None:
        self._channel = channel
        self._trainer = trainer
        self._outlet = outlet
        self._begun = begun
        self._artifacts = artifacts
        self._receiver = Receiver(decode_worker_bound)
        self._calls: list[Call] = []
        self._cancelled: set[int] = set()
        self._closed = threading.Event()

    def run(self) -> None:
        """Run to the end: the call is answered, and the server has closed the channel."""
        while not self._calls:
            if not self._read():
                return
        start_vital("intake", self._listen)
        self._begun.value += 1
        self._answer(self._calls[0])
        self._closed.wait()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # the server has gone
            while self._read():
                pass
        self._closed.set()

    def _read(self) -> bool:
        count = self._channel.recv_into(self._receiver.buffer())
        for message in self._receiver.received(count) if count else ():
            if type(message) is Calls:
                self._calls += message.calls
            elif type(message) is Cancel:
                self._cancelled.update(message.ids)
        return bool(count)

    def _is_to_end(self) -> bool:
        return self._closed.is_set() or self._calls[0].id in self._cancelled

    def _answer(self, call: Call) -> None:
        if self._is_to_end():
            self._refuse(Answer(call.id, failure=CANCELLED))
            return
        try:
            arguments = self._trainer.parse(call)
        except BaseException as error:  # a field of the model's own may raise anything
            self._refuse(Answer(call.id, failure=failure_of(error)))
            return
        running.alone = (about(call),)
        self._outlet.gather(Answer(call.id, "application/json", stream=True))
        self._outlet.send(Part(call.id, encode_training_event(TrainingStarted())))
        self._outlet.send(self._last_part(call.id, arguments))

    def _refuse(self, answer: Answer) -> None:
        self._outlet.gather(answer)
        self._outlet.flush()

    def _last_part(self, call_id: int, arguments: dict[str, Any]) -> Part:
        """Run ``train``; all that it told is sent when this returns."""
        news = News(call_id, self._outlet, self._is_to_end, self._artifacts)
        news.start()
        try:
            with progress.reporting(news):
                output = self._trainer.train(arguments)
        except BaseException as error:  # the border to the model: SystemExit and KeyboardInterrupt are its errors too
            news.close()
            _print(error)
            told = encode_training_event(TrainingFailed(news.heeded))
            return Part(call_id, told, last=True, failure=self._trainer.failure_of(error))
        news.close()
        _flush()
        return Part(call_id, encode_training_event(TrainingDone(news.heeded, output)), last=True)


def _print(error: BaseException) -> None:
    """Write the error to the job's log, whatever the model has done to what that is written with."""
    with contextlib.suppress(BaseException):  # the error's class is the model's, and may do anything
        if isinstance(error, BadAnswer):
            print(f"{error.message} {error.log}", file=sys.__stderr__)
        else:
            print(author_traceback(error), end="", file=sys.__stderr__)
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
