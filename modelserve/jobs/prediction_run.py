"""Runs one background prediction: a call in an ordinary worker of its deployment, whose answer is kept.

    Deployment.call -> Answer: body, file or stream -> the job's result file         and what it is -> Ending

It waits in the same queue as other calls. The file is written on asyncio's threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from modelserve.errors import ModelserveError, NotReady, QueueFull, Stopping
from modelserve.exact import to_json
from modelserve.jobs.job import Job, Status
from modelserve.jobs.rows import readable
from modelserve.jobs.run import STOPPED, Ending
from modelserve.messages import Answer, Call, Failure, FileAnswer
from modelserve.regular_files import create, open_regular, write_anew
from modelserve.runtime.fleet import Deployment, Streamed

__all__ = ["PredictionRun"]

logger = logging.getLogger(__name__)

# A queue that is full is tried again after this long.
FULL_WAIT_S = 0.5

# A file is copied in pieces of this size.
PIECE_BYTES = 1024 * 1024

# A larger JSON answer is only in the result's file.
INLINE_BYTES = 60 * 1024

JSON = "application/json"

AGAIN = Ending(Status.QUEUED)


class PredictionRun:
    """A :class:`modelserve.jobs.run.Run` of ``predict``.

    Its output is ``{"content_type", "filename", "bytes"}`` of the result's file, and for a JSON answer of moderate size
    that answer as ``"output"``.

    Args:
        job: It.
        deployment: What answers the call.
        result: The path of the file for the answer's body, in a folder that is there.
        max_bytes: Most that this file may have; an answer that is larger fails the job.
    """

    pid = 0

    def __init__(self, job: Job, deployment: Deployment, result: Path, *, max_bytes: int) -> None:
        self.job = job
        self._deployment = deployment
        self._result = result
        self._max_bytes = max_bytes
        self._running: asyncio.Task[Ending] | None = None
        self._leaving: Ending | None = None
        self._is_kept = False
        self._timer: asyncio.TimerHandle | None = None
        self._end_s = math.inf

    async def ending(self) -> Ending:
        return await self._watched() if self._leaving is None else self._leaving

    def cancel(self) -> None:
        self._leave(STOPPED)

    def stop(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + wait_s
        if end_s < self._end_s:  # asked again, it has no more time than before
            if self._timer is not None:
                self._timer.cancel()
            self._end_s = end_s
            self._timer = loop.call_at(end_s, self._leave, AGAIN)  # another start runs it

    async def close(self) -> None:
        """There is nothing: a call that was cancelled is out of the queue, or its worker drops its answer."""

    def _leave(self, ending: Ending) -> None:
        self._leaving = self._leaving or ending
        if self._running is not None:
            self._running.cancel()

    async def _watched(self) -> Ending:
        self._running = asyncio.create_task(self._run())
        try:
            return await self._running
        except asyncio.CancelledError:
            if self._leaving is None:  # it is we who are cancelled
                raise
            return self._leaving
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if not self._is_kept:
                self._result.unlink(missing_ok=True)

    async def _run(self) -> Ending:
        call = msgspec.structs.replace(msgspec.msgpack.decode(self.job.request, type=Call), deadline=0.0, operation="")
        try:
            answer = await self._answer(call)
            if answer.failure is None:
                return await self._keep(answer)
            return self._failed(answer.failure)
        except (NotReady, Stopping):
            return AGAIN
        except ModelserveError as error:
            return self._failed(Failure(error.status, error.code, error.message, log=error.log))
        except OSError as error:
            return self._failed(Failure(500, "no_space", "The server could not keep the answer.", log=str(error)))

    async def _answer(self, call: Call) -> Answer:
        while True:
            try:
                return await self._deployment.call(call)
            except QueueFull:
                await asyncio.sleep(FULL_WAIT_S)

    async def _keep(self, answer: Answer) -> Ending:
        if answer.stream:
            assert isinstance(answer, Streamed), "the deployment has put its parts to it"
            if failure := await self._keep_parts(answer):
                return self._failed(failure)
        elif (len(answer.body) if answer.file is None else answer.file.size) > self._max_bytes:
            _drop(answer.file)
            return self._failed(self._too_large())
        elif answer.file is not None:
            await asyncio.to_thread(_move, answer.file, self._result)
        else:
            await asyncio.to_thread(write_anew, self._result, answer.body)
        size = self._result.lstat().st_size
        kept: dict[str, Any] = {"content_type": answer.content_type, "filename": answer.filename, "bytes": size}
        if answer.content_type == JSON and not answer.stream and 0 < len(answer.body) <= INLINE_BYTES:
            kept |= readable(answer.body)
        ending = Ending(Status.DONE, output=to_json(kept), output_bytes=size)
        self._is_kept = True
        return ending

    async def _keep_parts(self, answer: Streamed) -> Failure | None:
        assert answer.parts is not None
        with contextlib.closing(answer.parts) as parts, os.fdopen(create(self._result), "wb") as file:
            size = 0
            async for part in parts:
                size += len(part.data)
                if size > self._max_bytes:
                    return self._too_large()
                await asyncio.to_thread(file.write, part.data)
                if part.failure is not None:
                    return part.failure
        return None

    def _too_large(self) -> Failure:
        log = f"it is larger than max_result_bytes, which is {self._max_bytes}"
        return Failure(500, "bad_answer", "The model's answer is larger than this service keeps.", log=log)

    def _failed(self, failure: Failure) -> Ending:
        if failure.log and failure.status >= 500:
            extra = {"deployment": self.job.deployment, "request_id": self.job.request_id, "job": self.job.uuid}
            extra["traceback"] = failure.traceback
            logger.error("background prediction failed: %s", failure.cause, extra=extra)
        return Ending(Status.ERROR, failure.message)


def _drop(file: FileAnswer | None) -> None:
    if file is not None and file.delete:
        Path(file.path).unlink(missing_ok=True)


def _move(file: FileAnswer, path: Path) -> None:
    """Move the file of an answer, or copy it where it stays; what is no regular file is neither followed nor read."""
    with os.fdopen(open_regular(file.path), "rb") as source:
        if file.delete:
            with contextlib.suppress(OSError):  # the file lies on another file system
                os.replace(file.path, path)
                return
        with os.fdopen(create(path), "wb") as target:
            shutil.copyfileobj(source, target, PIECE_BYTES)
    if file.delete:
        os.unlink(file.path)
