"""The loop of a run: rows go out as calls, enough of them that no worker waits, and answers come back as lines.

    Ahead --rows--> Places + Deployment.call --answers--> Places --lines--> Writer

A row costs no task: the loop is woken once for all that came in one turn of the event loop. A row with which a worker
died is run once more when nothing else runs, so that no other row is taken for the deadly one.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from modelserve.batch.ahead import Ahead
from modelserve.batch.places import Place, Places
from modelserve.batch.rows import BatchError, Row
from modelserve.batch.writer import Writer
from modelserve.errors import BadAnswer, ModelserveError, WorkerDied
from modelserve.messages import Answer, Description, Failure
from modelserve.regular_files import read_regular
from modelserve.runtime.fleet import Deployment, Status, Streamed

__all__ = ["Flow", "Widths", "widths_of"]

# So many calls for each worker are enough for a quick model, whatever its batches.
MIN_CALLS = 64

# The loop looks after what is due, and tells of its progress, so often where nothing else wakes it.
TICK_S = 0.25

# Calls and answers of more bytes are not held together, but for two for each worker.
HELD_BYTES = 64 * 1024**2

# So many times as many rows as may be called may wait for a slow one in front of them.
ORDER = 16


@dataclass(frozen=True)
class Widths:
    """How much there may be at once: ``calls`` of any size, ``large_calls`` of large ones, ``rows`` in order."""

    calls: int
    large_calls: int
    rows: int


def widths_of(description: Description, workers: int) -> Widths:
    """Return how much keeps so many workers busy, and their batches full."""
    together = max(description.max_batch_size, description.max_concurrency, MIN_CALLS)
    calls = 2 * workers * together
    return Widths(calls, 2 * workers, ORDER * calls)


class Flow:
    """One run, from the first row to the last or to ``stop``.

    Args:
        deployment: It is ready.
        widths: How much there may be at once.
        writer: Takes the lines.
        woken: Set by whoever has something new: rows that were read, or room for lines.
        max_errors: So many failed rows end the run, 0 for any number.
        on_tick: Called a few times a second, and in the end.
    """

    def __init__(
        self,
        deployment: Deployment,
        widths: Widths,
        writer: Writer,
        *,
        woken: asyncio.Event,
        max_errors: int = 0,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._deployment = deployment
        self._widths = widths
        self._writer = writer
        self._max_errors = max_errors
        self._on_tick = on_tick
        self._places = Places()
        self._calls = 0
        self._died: deque[Place] = deque()
        self._is_alone = False
        self._rows: deque[Row] = deque()
        self._streams: set[asyncio.Task[None]] = set()
        self._wake = woken
        self._error: ModelserveError | None = None
        self.is_stopped = False

    def stop(self) -> None:
        """End the run with what is written by now; what is still being answered is not waited for."""
        self.is_stopped = True
        self._wake.set()

    async def run(self, ahead: Ahead) -> None:
        """Answer all rows, and return once their lines are on disk.

        Raises:
            BatchError: The input, the model or the output let us down; the lines up to there are on disk.
        """
        ticking = asyncio.create_task(self._tick())
        try:
            while not self._is_over(ahead):
                self._wake.clear()
                self._send(ahead)
                self._settle()
                self._writer.pass_on()
                if not self._is_over(ahead):
                    await self._wake.wait()
        finally:
            is_complete = not self._is_cut_short() and ahead.error is None
            self.is_stopped = True
            ahead.stop()
            for task in (ticking, *self._streams):
                task.cancel()
            await self._writer.finish(is_complete=is_complete)
        self._on_tick()
        for error in (self._writer.error, self._error, ahead.error):
            if error is not None:
                raise error

    def _is_over(self, ahead: Ahead) -> bool:
        """Tell whether nothing more is to be asked; the last lines may still wait for the disk."""
        return self._is_cut_short() or (ahead.is_done and not self._rows and not len(self._places))

    def _is_cut_short(self) -> bool:
        has_failed = self._error is not None or self._writer.error is not None
        return self.is_stopped or has_failed or 0 < self._max_errors <= self._writer.failed

    def _send(self, ahead: Ahead) -> None:
        """Make as many calls as there may be."""
        if self._died or self._is_alone:
            if not self._calls:
                self._is_alone = True
                self._call(self._died.popleft())
            return
        while self._has_room() and (self._rows or self._refill(ahead)):
            place = self._places.add(self._rows.popleft())
            if place.row.failure is not None:
                self._places.answered(place, Answer(0, failure=place.row.failure))
            else:
                self._call(place)

    def _has_room(self) -> bool:
        widths, places, writer = self._widths, self._places, self._writer
        if self._calls >= widths.calls or len(places) >= widths.rows or self._error is not None:
            return False
        if places.bytes + writer.held_bytes < HELD_BYTES:
            return True
        return self._calls < widths.large_calls and len(places) < 2 * widths.large_calls and not writer.is_behind

    def _refill(self, ahead: Ahead) -> bool:
        self._rows.extend(ahead.take())
        return bool(self._rows)

    def _call(self, place: Place) -> None:
        try:
            future = self._deployment.call(place.row.call)
        except ModelserveError as error:
            self._fail(error.message)
            return
        self._calls += 1
        future.add_done_callback(functools.partial(self._answered, place))

    def _answered(self, place: Place, future: asyncio.Future[Answer]) -> None:
        if self.is_stopped or future.cancelled():
            return
        answer = future.result()
        if type(answer) is Streamed:
            task = asyncio.create_task(self._read(place, answer))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        else:
            self._take(place, answer)

    async def _read(self, place: Place, answer: Streamed) -> None:
        """Take a streamed answer as a whole one."""
        assert answer.parts is not None, "a streamed answer has parts"
        body = bytearray()
        async for part in answer.parts:
            body += part.data
            answer.failure = part.failure
        answer.body = bytes(body)
        self._take(place, answer)

    def _take(self, place: Place, answer: Answer) -> None:
        self._calls -= 1
        self._is_alone = False
        self._wake.set()
        failure = answer.failure
        if failure is None:
            self._places.answered(place, answer if answer.file is None else _with_body(answer))
        elif failure.status == 503 and self._deployment.status in (Status.FAILED, Status.STOPPING):
            self._fail(failure.message)  # it says nothing of the row, which is run when the run goes on
        elif failure.code == WorkerDied.code and not place.has_died:
            place.has_died = True
            self._died.append(place)
        else:
            self._places.answered(place, answer)

    def _settle(self) -> None:
        """Make lines of all answers that nothing stands in front of."""
        while (left := self._places.leave()) is not None:
            row, answer = left
            self._writer.add(row.label, answer)

    def _fail(self, message: str) -> None:
        why = self._deployment.message or message
        self._error = self._error or BatchError(f"The model cannot be run any more: {why}")
        self._wake.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._on_tick()
            self._wake.set()


def _with_body(answer: Answer) -> Answer:
    """Return an answer that is a file as bytes: it lies in the folder of a worker, and goes with it."""
    assert answer.file is not None, "it is one"
    try:
        answer.body = read_regular(answer.file.path)
        if answer.file.delete:
            os.unlink(answer.file.path)
    except OSError as error:
        answer.failure = Failure(500, BadAnswer.code, "The file of the answer is gone.", log=str(error))
    return answer
