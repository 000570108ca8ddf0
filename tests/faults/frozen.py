"""A worker that is busy for exactly as long as a test needs it to be, without a clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.conftest import Chaos
from tests.faults.told import counted
from tests.running import eventually

__all__ = ["frozen", "waiting"]


@contextlib.contextmanager
def frozen(chaos: Chaos, model: str = "chaos", call: Mapping[str, Any] = {"text": "blocker"}) -> Iterator[None]:
    """Keep the only worker at one call: stopped before it comes, and let go on when the block is left."""
    (worker,) = chaos.server.workers()
    sent = counted(chaos.server, "modelserve_batch_size_count")
    worker.suspend()
    try:
        blocker = chaos.server.predict_soon(model, call)
        eventually(lambda: counted(chaos.server, "modelserve_batch_size_count") > sent)
        yield
    finally:
        worker.resume()
    assert blocker.result(20).status == 200


def waiting(chaos: Chaos) -> int:
    """Return how many calls are in the queue."""
    return int(counted(chaos.server, "modelserve_queue_calls"))
