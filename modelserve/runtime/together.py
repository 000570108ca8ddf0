"""The worker's main loop for a model whose ``predict`` is ``async``: many calls at a time on one event loop.

    channel --> Together: a task for each call --> Outlet

The loop reads the channel itself, so there is no other thread. Answers that become ready in one turn of the loop share
a frame. It stands in a file of its own because only such models need asyncio, whose import takes time and memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Coroutine
from typing import Any

from modelserve.frames import Receiver
from modelserve.messages import (
    Answer,
    Call,
    Calls,
    Cancel,
    Check,
    Checked,
    Failure,
    More,
    Part,
    Scrape,
    decode_worker_bound,
)
from modelserve.runtime.intake import CANCELLED
from modelserve.runtime.interface import FIRST_PARTS, weight_of
from modelserve.runtime.model_metrics import ModelMetrics
from modelserve.runtime.outlet import Outlet
from modelserve.runtime.scratch import Scratch
from modelserve.runtime.turns import Begun, answer_unrun, stopped
from modelserve.v2.predictor import Parsed, Predictor
from modelserve.v2.streaming import Stream

__all__ = ["Loop", "Together"]

logger = logging.getLogger(__name__)


class Loop:
    """The one event loop of a worker, for ``warm`` and for what comes after; made when it is first needed."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        os.register_at_fork(after_in_child=self._leave)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, even if the model stops the loop meanwhile."""
        loop = self._runner.get_loop()
        task = loop.create_task(coroutine)
        while not task.done():
            # A model may stop the loop, which is a RuntimeError here, or leave a task that exits.
            with contextlib.suppress(RuntimeError, SystemExit, KeyboardInterrupt):
                loop.run_until_complete(task)
        return task.result()

    def _leave(self) -> None:
        """Run no more in a child that the model has forked: it would take from its parent what wakes it."""
        selector = getattr(self._runner.get_loop(), "_selector", None)
        if selector is not None:  # a loop that the model has chosen may have none
            selector.close()


class _Running:
    """One call that runs: its task, the credit of its stream, and whether and why it is to end early."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.is_started = False
        self.left: Failure | None = None
        self._credit = FIRST_PARTS
        self._waiting: asyncio.Future[None] | None = None

    @property
    def has_credit(self) -> bool:
        return self._credit > 0

    def allow(self, parts: int) -> None:
        self._credit += parts
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def cancel(self, why: Failure) -> None:
        self.left = self.left or why
        if self.is_started and self.task is not None:  # a task that is cancelled before would never run, nor answer
            self.task.cancel()

    async def may_send(self) -> None:
        """Wait until the stream may send a part, or is left."""
        while self._credit <= 0 and not self.left:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def spend(self, part: Part) -> None:
        """Note that a part was sent; after a large one, the stream waits the longer."""
        self._credit -= weight_of(part.data)


class Together:
    """Runs calls as they come until the server has closed the channel and all of them are answered."""

    def __init__(
        self, channel: socket.socket, predictor: Predictor, outlet: Outlet, *, begun: Begun, scratch: Scratch
    ) -> None:
        self._channel = channel
        self._predictor = predictor
        self._outlet = outlet
        self._scratch = scratch
        self._begun = begun
        self._metrics = ModelMetrics(outlet)
        self._receiver = Receiver(decode_worker_bound)
        self._waiting: deque[Call | Answer] = deque()
        self._running: dict[int, _Running] = {}
        self._is_closed = False
        self._is_due = False
        self._ended: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Run to the end; all answers are sent then."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        loop.add_reader(self._channel, self._read)
        try:
            await self._ended
        finally:
            loop.remove_reader(self._channel)
            self._outlet.flush()

    def _read(self) -> None:
        try:
            self._receive()
        except BlockingIOError:
            return
        except Exception as error:  # the channel is broken, or what came is no frame
            self._fail(error)

    def _receive(self) -> None:
        count = self._channel.recv_into(self._receiver.buffer(), 0, socket.MSG_DONTWAIT)
        if not count:
            self._close()
        for message in self._receiver.received(count) if count else ():
            if type(message) is Calls:
                self._scratch.keep()
                self._waiting += message.calls
                self._begin()
            elif type(message) is Cancel:
                self._cancel(set(message.ids))
            elif type(message) is More and message.id in self._running:
                self._running[message.id].allow(message.parts)
            elif type(message) is Check:
                self._check(message.call)
            elif type(message) is Scrape:
                self._metrics.ask()

    def _check(self, call: Call) -> None:
        answer = self._predictor.parse(call)
        assert isinstance(answer, Answer), "its operation is to be validated"
        self._outlet.send(Checked(answer))

    def _close(self) -> None:
        """No calls come any more, and no credit: what runs is awaited, but streams that wait for their client end."""
        asyncio.get_running_loop().remove_reader(self._channel)
        self._is_closed = True
        for running in self._running.values():
            if not running.has_credit:
                running.cancel(stopped())
        self._end_if_done()

    def _begin(self) -> None:
        if not self._running:
            self._outlet.begin()
        while self._waiting and len(self._running) < self._predictor.max_concurrency:
            call = self._waiting.popleft()
            self._begun.value += 1
            unrun = call if isinstance(call, Answer) else answer_unrun(call)
            if unrun is not None:
                self._answer(unrun)
                continue
            assert isinstance(call, Call)
            running = self._running[call.id] = _Running()
            running.task = asyncio.get_running_loop().create_task(self._run(call, running))

    def _cancel(self, ids: set[int]) -> None:
        for place, call in enumerate(self._waiting):
            if call.id in ids:
                self._waiting[place] = Answer(call.id, failure=CANCELLED)
        for call_id in ids & self._running.keys():
            self._running[call_id].cancel(CANCELLED)

    async def _run(self, call: Call, running: _Running) -> None:
        """Answer one call; never raises, for what fails outside of the model ends the worker."""
        running.is_started = True
        try:
            try:
                answer = await self._predicted(call, running)
                if isinstance(answer, Stream):
                    await self._send_stream(call.id, answer, running)
                else:
                    self._answer(answer)
            finally:
                del self._running[call.id]
                self._scratch.keep()
                self._begin()
                self._end_if_done()
        except BaseException as error:  # there is no other who would answer the call, or begin those that wait
            self._fail(error)

    async def _predicted(self, call: Call, running: _Running) -> Answer | Stream:
        if running.left:
            return Answer(call.id, failure=running.left)
        parsed = self._predictor.parse(call)
        answer = await self._predictor.run_async(parsed) if isinstance(parsed, Parsed) else parsed
        if running.left and isinstance(answer, Answer):  # set while the line above awaited
            return Answer(call.id, failure=running.left)
        return answer

    async def _send_stream(self, call_id: int, stream: Stream, running: _Running) -> None:
        self._outlet.gather(stream.answer)
        self._outlet.flush()
        try:
            last = await self._send_parts(call_id, stream, running)
        except BaseException as error:  # the border to the model; or its client has left
            last = Part(call_id, last=True, failure=running.left) if running.left else stream.broken(error)
        await _close(stream)
        self._outlet.send(last)

    async def _send_parts(self, call_id: int, stream: Stream, running: _Running) -> Part:
        """Send all parts but the last, which is returned: before it is sent, the generator is to be closed."""
        while True:
            await running.may_send()
            if running.left:
                return Part(call_id, last=True, failure=running.left)
            part = await stream.next_part_async()
            if part.last:
                return part
            if part.data:
                self._outlet.send(part)
                running.spend(part)
            else:  # no client could see it, and it is no progress; the others that run have their turn all the same
                await asyncio.sleep(0)

    def _answer(self, answer: Answer) -> None:
        """Send an answer with all others of this turn of the loop."""
        self._outlet.gather(answer)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        try:
            self._outlet.flush()
        except BaseException as error:  # the answers are lost
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Have the worker end by this error: its end is told to all calls that are here."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _end_if_done(self) -> None:
        is_done = self._is_closed and not self._running and not self._waiting
        if (is_done or self._predictor.is_broken) and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


async def _close(stream: Stream) -> None:
    try:
        await stream.items.aclose()
    except BaseException:  # the border to the model
        logger.warning("the model's generator raised when it was closed", exc_info=True)
