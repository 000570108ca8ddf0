"""BentoML: ``bentoml serve benchmarks.peers.bentoml:Adder`` or ``:Mlp``. A batchable method is sent lists."""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc, no-any-unimported"

from __future__ import annotations

import bentoml

BATCH = 32
# Its default. With 10 it answers half of the requests at 64 connections with 503.
LATENCY_MS = 60_000


@bentoml.service(workers=1)
class Adder:
    """Adds one."""

    @bentoml.api
    async def predict(self, x: int) -> dict[str, int]:
        """Add one."""
        return {"y": x + 1}


@bentoml.service(workers=1)
class Mlp:
    """Predicts a batch in one pass."""

    def __init__(self) -> None:
        from benchmarks.peers import perceptron

        self._forward = perceptron.load()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=LATENCY_MS)
    def predict(self, x: list[list[float]]) -> list[list[float]]:
        """Predict."""
        return self._forward(x)
