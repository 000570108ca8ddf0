"""Ray Serve: ``python -m benchmarks.peers.ray adder|mlp PORT``."""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc, no-any-unimported"

from __future__ import annotations

import os
import sys
from typing import Any

import ray
from ray import serve

BATCH = 32


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Adder:
    """Adds one."""

    async def __call__(self, request: Any) -> dict[str, int]:
        """Answer one request."""
        body = await request.json()
        return {"y": int(body["x"]) + 1}


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Mlp:
    """Predicts a batch in one pass."""

    def __init__(self) -> None:
        from benchmarks.peers import perceptron

        self._forward = perceptron.load()

    @serve.batch(max_batch_size=BATCH)
    async def predict(self, vectors: list[list[float]]) -> list[list[float]]:
        """Predict."""
        return self._forward(vectors)

    async def __call__(self, request: Any) -> dict[str, list[float]]:
        """Answer one request."""
        body = await request.json()
        return {"y": await self.predict(body["x"])}


if __name__ == "__main__":
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    deployments: dict[str, Any] = {"adder": Adder, "mlp": Mlp}
    serve.run(deployments[sys.argv[1]].bind(), blocking=True)
