"""A deployment on fake replicas, for tests that tell what happens to its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modelserve.messages import Answer, Call
from modelserve.metrics import Metrics
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.slot import Slot
from tests.runtime.fakes import FakeReplica

__all__ = ["Story", "code", "text", "turn"]


class Story:
    """A deployment whose replicas come from a list, with what a test does to it."""

    def __init__(self, *replicas: FakeReplica, workers: int = 1, max_queue: int = 100) -> None:
        self._coming = list(replicas)
        self.used: list[FakeReplica] = []
        slots = [Slot(self._next) for _ in range(workers)]
        self.deployment = Deployment("m", slots, max_queue=max_queue, metrics=Metrics().deployment("m"))

    def _next(self) -> FakeReplica:
        self.used.append(self._coming.pop(0))
        return self.used[-1]

    def call(self, body: str) -> asyncio.Future[Answer]:
        return self.deployment.call(Call(request_id=f"id-{body}", body=body.encode()))

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
