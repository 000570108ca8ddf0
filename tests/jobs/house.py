"""A real fleet with a real store and the runner, in the test's own process, and words to use them with.

async with opened(folder, Settings(...)) as house:
    job = await house.train("steps", n=5)
    assert (await house.end_of(job)).status is Status.DONE
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
import psutil

from modelserve.discovery import ModelRef
from modelserve.jobs.job import Job, NewJob, Operation
from modelserve.jobs.runner import Runner
from modelserve.jobs.service import keep_jobs
from modelserve.messages import Call, FilePart
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from tests.models.installed import side_log
from tests.runtime.workers import CHAOS

__all__ = ["END_S", "House", "opened", "restarted"]

# A training begins in half a second on an idle machine, at a low priority; tests run on busy ones.
END_S = 40.0


@dataclasses.dataclass(frozen=True)
class House:
    """What runs jobs, of one deployment."""

    fleet: Fleet
    runner: Runner
    settings: Settings
    side_log: Path
    name: str

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.settings.data_dir)

    async def train(self, mode: str, *, key: str = "", **arguments: Any) -> Job:
        """Submit a training, as the door does."""
        return await self.runner.submit(self.new(Operation.TRAIN, mode, **arguments), key=key)

    async def predict(self, mode: str, **arguments: Any) -> Job:
        """Submit a background prediction, as the door does."""
        return await self.runner.submit(self.new(Operation.PREDICT, mode, **arguments))

    def new(self, operation: Operation, mode: str, *, file: Path | None = None, **arguments: Any) -> NewJob:
        """Return a job to submit; a file is moved to it. Models without modes have the mode ""."""
        args = {"mode": mode, **arguments} if mode else arguments
        uuid, call = uuid4().hex, Call(query=urlencode(args))
        if file is not None:
            part = FilePart("file", str(file), "text/plain", file.name, file.stat().st_size)
            call = self.runner.files.keep_uploads(uuid, Call(query=call.query, files=[part]))
        request = msgspec.msgpack.encode(call)
        place = self.runner.files.place
        retries = self.settings.train_retries
        return NewJob(uuid, self.name, operation, args, request=request, place=place, retries=retries)

    async def now(self, job: Job) -> Job:
        """Return a job as it is stored now."""
        return await self.runner.store.get(job.uuid)

    async def end_of(self, job: Job, *, within_s: float = END_S) -> Job:
        """Follow a job to its end."""
        async with asyncio.timeout(within_s), contextlib.aclosing(self.runner.follow(job)) as changes:
            return [job async for job in changes][-1]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return what the model has noted of one kind."""
        return side_log(self.side_log, event)

    def process_of(self, job: Job) -> psutil.Process | None:
        """Return the process of a training that runs here."""
        pids = [report.pid for report in self.runner.running() if report.uuid == job.uuid and report.pid]
        return psutil.Process(pids[0]) if pids else None


@contextlib.asynccontextmanager
async def opened(folder: Path, settings: Settings, ref: ModelRef = CHAOS) -> AsyncIterator[House]:
    """Open a fleet of one model and the runner of its jobs, and close them at the end.

    Args:
        folder: Of the test; the settings get temporary and data folders in it, where they have none.
        settings: How.
        ref: The model.
    """
    temp, data = folder / "temp", folder / "data"
    temp.mkdir(exist_ok=True)
    own = dataclasses.replace(settings, temp_dir=str(temp), data_dir=settings.data_dir or str(data), log_level="error")
    async with Fleet([ref], own) as fleet, keep_jobs(fleet, own) as runner:
        assert runner is not None
        await fleet.started()
        yield House(fleet, runner, own, folder / "side.log", ref.name)


@contextlib.asynccontextmanager
async def restarted(house: House, **settings: Any) -> AsyncIterator[House]:
    """Open another runner with the same fleet and data folder, as the next start of a server does."""
    await house.runner.drain(0.0)
    chosen = dataclasses.replace(house.settings, **settings)
    async with keep_jobs(house.fleet, chosen) as runner:
        assert runner is not None
        yield dataclasses.replace(house, runner=runner, settings=chosen)
