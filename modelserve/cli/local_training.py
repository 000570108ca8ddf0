"""One training in a process of this command, from its call to its end.

Call -> Replica --answer, parts, exit--> Ear -> LocalTraining -> Display, End        its log file --lines--> Display
Ctrl-C -> progress.cancelled        Ctrl-C again -> the process is ended
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from modelserve.cli.following import Display, News
from modelserve.cli.interrupts import interrupts
from modelserve.cli.log_tail import LogTail
from modelserve.messages import (
    Answer,
    Answers,
    Call,
    Failure,
    Part,
    TrainingDone,
    TrainingProgress,
    TrainingStarted,
    decode_training_event,
)
from modelserve.runtime.interface import Exit, Replica
from modelserve.web.v2.job_object import when

__all__ = ["Ear", "End", "LocalTraining"]

# How often the log is read, which is how late a line may be shown.
LOG_EVERY_S = 0.1


class Ear:
    """Keeps what a replica tells until somebody asks for it."""

    def __init__(self) -> None:
        self.told = asyncio.Queue[Answer | Part | Exit]()

    def due(self, replica: Replica) -> int:
        """Return that there is one call."""
        return 1

    def answered(self, replica: Replica, answers: Answers) -> None:
        """Keep the answers."""
        for answer in answers.answers:
            self.told.put_nowait(answer)

    def part(self, replica: Replica, part: Part) -> None:
        """Keep the part."""
        self.told.put_nowait(part)

    def folder_gone(self, replica: Replica) -> None:
        """Go on: the one call that the process has runs."""

    def lost(self, replica: Replica, end: Exit) -> None:
        """Keep how the process ended."""
        self.told.put_nowait(end)


class End(msgspec.Struct, frozen=True):
    """How a training ended: ``status`` is "done", "error" or "cancelled", ``output`` what it returned, as JSON."""

    status: str
    began: datetime
    ended: datetime
    latest: News
    output: bytes = b""
    failure: Failure | None = None

    def job(self) -> dict[str, Any]:
        """Return it as a server tells of a training, but for the arguments."""
        job: dict[str, Any] = {"uuid": uuid4().hex, "date": when(self.began), "status": self.status}
        if self.failure is not None:
            job["message"] = self.failure.message
            if self.failure.fields:
                job["fields"] = self.failure.fields
        if self.status == "done":
            duration = str(self.ended - self.began)
            job["result"] = {
                "output": json.loads(self.output),
                "finish_date": when(self.ended),
                "duration": duration,
            }
        return job | {"progress": self.latest.progress, "metrics": self.latest.metrics}


class LocalTraining:
    """Runs one call in a replica that has been started for a training.

    Args:
        replica: Is stopped when the training has ended.
        ear: What the replica was started with.
        display: Shows what the training tells, and its log.
        wait_s: How long the replica may take to end by itself after the training.
    """

    def __init__(self, replica: Replica, ear: Ear, display: Display, *, wait_s: float) -> None:
        self._replica = replica
        self._ear = ear
        self._display = display
        self._wait_s = wait_s
        self._began = datetime.now(UTC)
        self._latest = News()
        self._is_cancelled = False

    async def run(self, call: Call, log: Path) -> End:
        """Run the training to its end, which the first Ctrl-C asks for and the second one brings about."""
        with interrupts() as interrupted:
            self._replica.send([call])
            logging = asyncio.ensure_future(self._show_log(log))
            obeying = asyncio.ensure_future(self._obey(interrupted, call))
            try:
                end = await self._end()
                await self._replica.stop(self._wait_s)  # what is said on the way out belongs to the log
            finally:
                logging.cancel()
                obeying.cancel()
                await asyncio.gather(logging, obeying, return_exceptions=True)
        self._display.tell(News(status=end.status))
        return end

    async def _end(self) -> End:
        """Show what the training tells until it has ended."""
        end = None
        while end is None:
            told = await self._ear.told.get()
            if isinstance(told, Exit):
                end = self._died(told)
            elif isinstance(told, Part) and told.data:
                end = self._told(told)
            elif told.failure is not None:
                end = self._ended("error", failure=told.failure)
        return end

    def _told(self, part: Part) -> End | None:
        event = decode_training_event(part.data)
        if isinstance(event, TrainingStarted):
            self._display.tell(News(status="running"))
            return None
        if isinstance(event, TrainingProgress):
            self._show(News(None, event.progress, event.metrics, event.step))
            return None
        if self._is_cancelled and event.heeded:
            return self._ended("cancelled")
        if isinstance(event, TrainingDone):
            return self._ended("done", output=event.output)
        return self._ended("error", failure=part.failure)

    def _show(self, news: News) -> None:
        progress = self._latest.progress if news.progress is None else news.progress
        self._latest = News(None, progress, self._latest.metrics | news.metrics)
        self._display.tell(news)

    def _died(self, end: Exit) -> End:
        if self._is_cancelled:
            return self._ended("cancelled")
        return self._ended("error", failure=Failure(500, "worker_died", f"The training's process {end.detail}."))

    def _ended(self, status: str, *, output: bytes = b"", failure: Failure | None = None) -> End:
        return End(status, self._began, datetime.now(UTC), self._latest, output, failure)

    async def _obey(self, interrupted: asyncio.Queue[None], call: Call) -> None:
        await interrupted.get()
        self._is_cancelled = True
        self._replica.cancel([call.id])
        self._display.note("The training was asked to stop. Ctrl-C again ends it at once.")
        await interrupted.get()
        self._replica.end("cancelled", "was ended by Ctrl-C")

    async def _show_log(self, path: Path) -> None:
        with LogTail(path) as tail:
            try:
                while True:
                    for line in tail.lines():
                        self._display.log(line)
                    await asyncio.sleep(LOG_EVERY_S)
            finally:
                for line in tail.lines(to_the_end=True):
                    self._display.log(line)
