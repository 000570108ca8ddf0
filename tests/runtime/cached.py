"""A deployment on fake replicas with a cache around it, for the tests of the cache."""

from __future__ import annotations

import asyncio
from typing import Any

from modelserve.messages import Answer, Call
from modelserve.runtime.cache import Cache
from tests.runtime.fakes import FakeReplica
from tests.runtime.story import Story, turn

__all__ = ["Cached", "answered", "sent"]


class Cached(Story):
    """A deployment with a cache."""

    def __init__(self, *replicas: FakeReplica, size: int = 10, ttl_s: float = 0.0, **rest: Any) -> None:
        super().__init__(*replicas, **rest)
        self.cache = Cache(self.deployment, size=size, ttl_s=ttl_s, metrics=self.metrics.cache("m"))

    def call(self, body: str, *, deadline: float = 0.0) -> asyncio.Future[Answer]:
        return self.ask(Call(request_id=f"id-{body}", body=body.encode(), deadline=deadline))

    def ask(self, call: Call) -> asyncio.Future[Answer]:
        return self.cache.call(call)

    def counted(self, what: str) -> float:
        value = self.metrics.registry.get_sample_value(f"modelserve_cache_{what}", {"deployment": "m"})
        assert value is not None
        return value


async def answered(it: Cached, body: str) -> Answer:
    """Ask, have the first worker answer if it is asked, and return what came."""
    worker, future = it.used[-1], it.call(body)
    await turn()
    if not future.done():
        worker.answer(*worker.calls[-1])
    return await future


def sent(worker: FakeReplica) -> list[bytes]:
    """Return the bodies of all calls that a worker was sent."""
    return [call.body for calls in worker.calls for call in calls]
