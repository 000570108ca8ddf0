"""Between the loop and the output: gathers lines, and has a thread of its own write them in large pieces.

One piece is written at a time; meanwhile the next one gathers, so that a slow disk holds up nothing until much waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future

from modelserve.batch.answers import File, line, line_and_file
from modelserve.batch.media import JSON, in_json
from modelserve.batch.output import Output, Piece
from modelserve.messages import Answer
from modelserve.threads import Threads

__all__ = ["Writer"]

# A piece of this size is worth a change of threads; a smaller one goes out once it is this old.
PIECE_BYTES = 1024**2
PIECE_S = 0.5

# More than this waits for the disk only in single lines.
BEHIND_BYTES = 16 * 1024**2


class Writer:
    """The lines of a run, ``number`` is the next row's.

    Args:
        output: Open, and written by this alone.
        woken: Called on the event loop when a piece has been written.
    """

    def __init__(self, output: Output, woken: Callable[[], None]) -> None:
        self.held_bytes = 0
        self.error: BaseException | None = None
        self.number = output.state.rows
        self._output = output
        self._woken = woken
        self._loop = asyncio.get_running_loop()
        self._thread = Threads(1, "output")
        self._lines: list[bytes] = []
        self._files: list[File] = []
        self.failed = 0
        self._failed_passed_on = 0
        self._passed_s = time.monotonic()
        self._writing: Future[None] | None = None
        self._is_folder = output.folder is not None

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the disk that no more should come."""
        return self.held_bytes > BEHIND_BYTES

    def add(self, label: bytes, answer: Answer) -> None:
        """Add the line of the next row."""
        if self._is_folder:
            made, file = line_and_file(self.number, label, answer)
            if file is not None:
                self._files.append(file)
                self.held_bytes += len(file.body)
        else:
            if answer.content_type != JSON and answer.failure is None:
                answer = in_json(answer)
            made = line(self.number, label, answer)
        self.number += 1
        self.failed += answer.failure is not None
        self._lines.append(made)
        self.held_bytes += len(made)

    def pass_on(self) -> None:
        """Have the lines written that have gathered, if that is worth it and the last ones are."""
        if self._writing is not None or not self._lines:
            return
        now = time.monotonic()
        if self.held_bytes >= PIECE_BYTES or now - self._passed_s >= PIECE_S:
            self._passed_s = now
            self._writing = self._thread.submit(self._output.write, self._taken())
            self._writing.add_done_callback(self._written)

    async def finish(self, *, is_complete: bool) -> None:
        """Write what is left, put it on disk, and end the thread; what fails is in ``error``."""
        try:
            if self._writing is not None:
                await asyncio.wrap_future(self._writing)
            await self._loop.run_in_executor(self._thread, self._end, is_complete)
        except Exception as error:
            self.error = self.error or error
        finally:
            self._thread.shutdown(wait=False)

    def _end(self, is_complete: bool) -> None:
        if self.error is None:
            self._output.write(self._taken())
            self._output.sync(is_complete=is_complete)

    def _taken(self) -> Piece:
        piece = Piece(self._lines, self.failed - self._failed_passed_on, self._files)
        self._lines, self._files, self._failed_passed_on, self.held_bytes = [], [], self.failed, 0
        return piece

    def _written(self, writing: Future[None]) -> None:
        self._loop.call_soon_threadsafe(self._note, writing)

    def _note(self, writing: Future[None]) -> None:
        self._writing = None
        self.error = self.error or writing.exception()
        self._woken()
