"""Puts a batch run together: the workers, the input, the loop and the output, and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelserve.batch.ahead import Ahead
from modelserve.batch.calls import CallMaker, Wishes
from modelserve.batch.flow import Flow, widths_of
from modelserve.batch.interface import Source
from modelserve.batch.media import accept_of
from modelserve.batch.output import Output
from modelserve.batch.progress import Pace, Progress, progress_of
from modelserve.batch.rows import BatchError
from modelserve.batch.writer import Writer
from modelserve.cli import screen
from modelserve.cli.batch_screen import Shown
from modelserve.cli.one_model import QUIET, fleet_of, only
from modelserve.errors import NoModel, NotImplementedByModel
from modelserve.messages import Description
from modelserve.runtime.fleet import Deployment

__all__ = ["DEFAULTS", "Asked", "Ended", "run"]

# A row that kills its worker is one error of many rows here, and no reason to leave the others undone.
DEFAULTS = {**QUIET, "restart_budget": 10_000}

# How many calls wait is limited by the loop, in rows and in bytes.
UNLIMITED = {"max_queue": sys.maxsize, "max_queue_bytes": sys.maxsize}

COMPLETE = ("complete", "already complete")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is to be done: the output is held, and has not begun."""

    model: str
    source: Source
    output: Output
    wishes: Wishes
    max_errors: int


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended. ``rows`` and ``failed`` are of the whole output, ``rows_now`` those of this run.

    ``why`` is a sentence where it could not go on.
    """

    status: str
    rows: int
    failed: int
    rows_now: int
    seconds: float
    by_signal: int = 0
    why: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every row has its line."""
        return self.status in COMPLETE

    @property
    def rows_per_s(self) -> float:
        """The rate of this run, without the start of the model."""
        return self.rows_now / self.seconds if self.seconds else 0.0

    @property
    def exit_status(self) -> int:
        """What the command returns: 128 and the signal that ended it, 1 where rows failed, else 0."""
        if self.by_signal:
            return 128 + self.by_signal
        return int(bool(self.failed) or not self.is_complete)


async def run(asked: Asked, flags: Mapping[str, Any]) -> Ended:
    """Start the workers, answer all rows that are not answered yet, and end the workers.

    Raises:
        StartError: The model cannot be started, or what was asked does not fit it.
    """
    async with fleet_of(asked.model, flags, defaults=DEFAULTS, own=UNLIMITED) as fleet:
        deployment = only(fleet)
        description = deployment.description
        if description is None:
            if deployment.failure is not None:
                screen.show_failure(screen.console(sys.stderr), deployment.name, deployment.failure)
            raise NoModel(f"{deployment.name} cannot be run.")
        with tempfile.TemporaryDirectory(prefix="batch-", dir=fleet.folder) as scratch:
            maker = _maker(description, asked, Path(scratch))
            return await _answered(asked, deployment, description, maker)


def _maker(description: Description, asked: Asked, scratch: Path) -> CallMaker:
    if "predict" not in description.implements:
        raise NotImplementedByModel("This model does not provide predict.")
    accept = accept_of(description, asked.wishes.accept, is_folder=asked.output.folder is not None)
    wishes = dataclasses.replace(asked.wishes, accept=accept)
    maker = CallMaker(description, wishes, scratch=scratch, base=asked.source.base)
    asked.source.check(maker)
    return maker


async def _answered(asked: Asked, deployment: Deployment, description: Description, maker: CallMaker) -> Ended:
    began = asked.output.begin()
    began_s = time.monotonic()
    pace = Pace(began.rows, began_s)
    woken = asyncio.Event()
    writer = Writer(asked.output, woken.set)
    ahead = Ahead(asked.source.rows(maker, began.rows), woken.set)

    def look() -> Progress:
        rate = pace.note(writer.number, time.monotonic())
        return progress_of(asked.source, ahead, writer, skipped=began.rows, failed=began.failed, rate=rate)

    with Shown(look) as shown:
        flow = Flow(
            deployment,
            widths_of(description, len(deployment.workers)),
            writer,
            woken=woken,
            max_errors=asked.max_errors,
            on_tick=shown.tick,
        )
        with _signals(flow) as caught:
            why = await _flowed(flow, ahead)
    state = asked.output.state
    status = "interrupted" if caught else "complete" if state.is_complete else "stopped"
    seconds = time.monotonic() - began_s
    return Ended(status, state.rows, state.failed, state.rows - began.rows, seconds, caught[0] if caught else 0, why)


async def _flowed(flow: Flow, ahead: Ahead) -> str:
    """Let it flow to its end, and return why it could not, or nothing."""
    ahead.start()
    try:
        await flow.run(ahead)
    except BatchError as error:
        return error.message
    return ""


@contextlib.contextmanager
def _signals(flow: Flow) -> Iterator[list[int]]:
    """End the flow at Ctrl-C and SIGTERM; yield the list of those that came."""
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        flow.stop()

    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield caught
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
