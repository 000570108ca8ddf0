"""One computation that several callers wait for.

    caller, caller, caller --> Run --one call--> Deployment          Answer --> each of them

All callers are alike: whoever leaves, the call goes on while anybody waits for it. Only where it has files must their
owner stay, because a request's files go with it; then the next caller's call is run in its place.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from modelserve.errors import ModelserveError
from modelserve.messages import Answer, Call, Failure
from modelserve.runtime.interface import Answering
from modelserve.runtime.streams import discard

__all__ = ["Caller", "FromCache", "Run", "failed"]


class FromCache(Answer):
    """An answer for which the model did not run; ``age_s`` is how long ago it came."""

    age_s: float = 0.0

    @classmethod
    def of(cls, answer: Answer, age_s: float) -> FromCache:
        """Return an answer that came for another call. Its failure, if it is one, is logged there and not here."""
        failure = answer.failure and msgspec.structs.replace(answer.failure, log="")
        return cls(answer.id, answer.content_type, answer.body, None, answer.filename, failure, age_s=age_s)


class Caller(asyncio.Future[Answer]):
    """What one caller waits for. Cancelled, it tells at once that its client has left."""

    __slots__ = ("call", "run")

    call: Call
    run: Run

    def cancel(self, msg: Any = None) -> bool:
        """Give the answer up: the client has left."""
        has_left = super().cancel(msg)
        if has_left:
            self.run.left(self)
        return has_left


class Run:
    """One call at a deployment, and those who wait for it.

    Args:
        deployment: What runs it.
        call: What is run.
        ended: Called once, on the loop, with this and its answer, to be given to the callers; or with None, when nobody
            waits for it any more.
    """

    def __init__(self, deployment: Answering, call: Call, ended: Callable[[Run, Answer | None], None]) -> None:
        self._deployment = deployment
        self._call = call
        self._ended = ended
        self._callers: dict[Caller, None] = {}
        self._pending: asyncio.Future[Answer]

    def start(self) -> None:
        """Have the call run.

        Raises:
            Unavailable: The deployment does not take it.
        """
        self._pending = self._deployment.call(self._call)
        self._pending.add_done_callback(self._answered)

    def join(self, caller: Caller) -> None:
        """Let one more caller wait."""
        caller.run = self
        self._callers[caller] = None

    def left(self, caller: Caller) -> None:
        """A caller waits no longer. The last one takes the call with it, unless its answer is on its way already."""
        del self._callers[caller]
        if not self._callers:
            if self._pending.cancel():
                self._ended(self, None)
        elif self._call.files and caller.call is self._call and self._pending.cancel():
            self._call = next(iter(self._callers)).call
            self._start_again()

    def take(self) -> tuple[Caller | None, list[Caller]]:
        """Return whose call was run, if it still waits, and who waits with it; it has no callers from then on."""
        callers, self._callers = list(self._callers), {}
        owner = next((caller for caller in callers if caller.call is self._call), None)
        return owner, [caller for caller in callers if caller is not owner]

    def give(self, answer: Answer) -> int:
        """Answer every caller, and return for how many of them the model did not run."""
        owner, others = self.take()
        if owner is not None:
            owner.set_result(answer)
        for caller in others:
            caller.set_result(FromCache.of(answer, 0.0))
        return len(others)

    def _start_again(self) -> None:
        try:
            self.start()
        except Exception as error:
            self._ended(self, failed(error))

    def _answered(self, pending: asyncio.Future[Answer]) -> None:
        if pending.cancelled():
            return
        try:
            self._ended(self, pending.result())
        except Exception as error:  # whatever it is, nobody must wait for ever
            discard(pending.result())
            for caller in [caller for caller in self._callers if not caller.done()]:
                caller.set_result(failed(error))
            self._callers.clear()


def failed(error: Exception) -> Answer:
    """Return the answer that says why a call was not run, or could not be answered."""
    if not isinstance(error, ModelserveError):
        log = "".join(traceback.format_exception(error))
        error = ModelserveError("The server could not answer this call; its log says why.", log=log)
    return Answer(0, failure=Failure(error.status, error.code, error.message, log=error.log))
