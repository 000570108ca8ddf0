"""A deployment on fake replicas, for tests that tell what happens to its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from modelserve.messages import Answer, Call
from modelserve.metrics import Metrics
from modelserve.runtime.budget import Gpus
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.limits import Limits
from modelserve.runtime.slot import Slot
from modelserve.stalls import Stalls
from tests.runtime.fakes import FakeReplica

__all__ = ["Story", "code", "now", "text", "turn"]


class Story:
    """A deployment whose replicas come from a list, with what a test does to it."""

    def __init__(
        self, *replicas: FakeReplica, workers: int = 1, gpus: Gpus | None = None, gpu: str = "", **limits: Any
    ) -> None:
        self._coming = list(replicas)
        self.used: list[FakeReplica] = []
        self.metrics = Metrics()
        self.stalls = Stalls()
        slots = [Slot(self.make, gpu) for _ in range(workers)]
        self.deployment = Deployment(
            "m",
            slots,
            limits=Limits(**{"max_queue": 100, **limits}),
            metrics=self.metrics.deployment("m"),
            gpus=gpus,
            stalls=self.stalls,
        )

    def make(self, generation: int = 0) -> FakeReplica:
        """Return the next replica."""
        self.used.append(self._coming.pop(0))
        return self.used[-1]

    def call(self, body: str, *, deadline: float = 0.0) -> asyncio.Future[Answer]:
        return self.deployment.call(Call(request_id=f"id-{body}", body=body.encode(), deadline=deadline))

    def calls(self, bodies: str) -> list[asyncio.Future[Answer]]:
        """Make one call for each letter."""
        return [self.call(body) for body in bodies]

    async def until(self, check: Callable[[], object]) -> None:
        """Wait, in the loop's own time, until a check holds."""
        for _ in range(100_000):
            if check():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it never came true")


async def turn() -> None:
    """Let the loop turn, so that what waits is dealt out."""
    for _ in range(3):
        await asyncio.sleep(0)


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


def code(future: asyncio.Future[Answer]) -> str:
    """Return the code of the failure that was answered."""
    failure = future.result().failure
    assert failure is not None
    return failure.code


def text(future: asyncio.Future[Answer]) -> str:
    """Return the text that was answered."""
    answer = future.result()
    assert answer.failure is None, answer.failure
    return answer.body.decode()
