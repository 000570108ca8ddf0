"""Predictions beside trainings: ``python -m benchmarks.training --trainings 4 --policies none,served``.

    calls at a steady pace --> Fleet: a worker that predicts, and trainings that keep every processor busy
                           --> median and 99th percentile of the time from call to answer, in milliseconds

"none" is no training at all, "served" trainings as they are served, any other word one of ``models/trainee.py``, for
those who want to know why trainings are served as they are. The policies take turns, so that what else the machine does
meets all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import click
import msgspec

from modelserve.discovery import ModelRef
from modelserve.messages import Answers, Call, Part, TrainingDone, decode_training_event
from modelserve.runtime.fleet import Fleet
from modelserve.runtime.interface import Exit, Replica
from modelserve.settings import Settings

from .models.trainee import POLICIES

__all__ = ["main"]

_MODEL = ModelRef("trainee", "module", "benchmarks.models.trainee")
_NAMES = ("none", "served", *POLICIES)

# A training that ends by itself when asked has this long.
END_S = 30.0


class _Trainee:
    """One training that runs; what its listener hears."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.rounds = 0

    def answered(self, replica: Replica, answers: Answers) -> None:
        self.begun.set()

    def part(self, replica: Replica, part: Part) -> None:
        event = decode_training_event(part.data)
        if part.last:
            self.rounds = msgspec.json.decode(event.output) if isinstance(event, TrainingDone) else 0
            self.ended.set()

    def lost(self, replica: Replica, end: Exit) -> None:
        self.ended.set()


@click.command()
@click.option("--trainings", default=4, show_default=True, type=click.IntRange(1), help="How many run.")
@click.option("--policies", default="none,served", show_default=True, help=f"Of {', '.join(_NAMES)}.")
@click.option("--rate", default=200, show_default=True, type=click.IntRange(1), help="Predictions per second.")
@click.option("--seconds", default=10.0, show_default=True, help="How long a round is.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds of each policy.")
def main(*, trainings: int, policies: str, rate: int, seconds: float, rounds: int) -> None:
    """Measure predictions with trainings beside them."""
    chosen = policies.split(",")
    if wrong := [policy for policy in chosen if policy not in _NAMES]:
        raise click.BadParameter(f"{wrong[0]} is none of {', '.join(_NAMES)}")
    asyncio.run(_measure(chosen, trainings, rate=rate, seconds=seconds, rounds=rounds))


async def _measure(policies: list[str], trainings: int, *, rate: int, seconds: float, rounds: int) -> None:
    found: dict[str, list[list[float]]] = {policy: [] for policy in policies}
    done: dict[str, list[int]] = {policy: [] for policy in policies}
    async with Fleet([_MODEL], Settings(workers=1, log_level="error")) as fleet:
        await fleet.started()
        for _ in range(rounds):
            for policy in policies:
                count = 0 if policy == "none" else trainings
                async with _training(fleet, count, "" if policy == "served" else policy) as trainees:
                    found[policy].append(await _times(fleet, rate, seconds))
                done[policy].append(sum(trainee.rounds for trainee in trainees))
    click.echo(f"{'policy':<14}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'p99 of each round':>30}{'trained':>10}")
    for policy, times in found.items():
        _show(policy, times, statistics.median(done[policy]))


def _show(policy: str, times: list[list[float]], trained: float) -> None:
    rounds = [statistics.quantiles(each, n=100) for each in times]
    p50, p99 = (statistics.median(each[place] for each in rounds) for place in (49, 98))
    each = " ".join(f"{one[98] * 1e3:.2f}" for one in rounds)
    slowest = max(map(max, times))
    click.echo(f"{policy:<14}{p50 * 1e3:>9.2f}{p99 * 1e3:>9.2f}{slowest * 1e3:>9.2f}{each:>30}{trained:>10.0f}")


@contextlib.asynccontextmanager
async def _training(fleet: Fleet, count: int, policy: str) -> AsyncIterator[list[_Trainee]]:
    """Keep so many trainings running."""
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "log")
        trainees = [_Trainee(fleet.training("trainee", each, log_path=log, artifacts="")) for each in range(count)]
        try:
            for trainee in trainees:
                await trainee.replica.start(trainee)
                trainee.replica.send([Call(1, query=f"policy={policy}")])
            for trainee in trainees:
                await trainee.begun.wait()
            yield trainees
            for trainee in trainees:
                trainee.replica.cancel([1])
            async with asyncio.timeout(END_S):
                await asyncio.gather(*(trainee.ended.wait() for trainee in trainees))
        finally:
            await asyncio.gather(*(trainee.replica.stop(1) for trainee in trainees))


async def _times(fleet: Fleet, rate: int, seconds: float) -> list[float]:
    """Return how long each prediction took, from when it was due: one that waits for the loop waits for its answer."""
    deployment, times = fleet.find("trainee"), []
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(due - time.monotonic())
        await deployment.call(Call(query="x=1"))
        times.append(time.monotonic() - due)
    return times


if __name__ == "__main__":
    main()
