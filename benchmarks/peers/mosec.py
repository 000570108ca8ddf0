"""mosec: ``python -m benchmarks.peers.mosec adder|mlp --port N``; its server is Rust, its workers are Python."""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported"

from __future__ import annotations

import sys
from typing import Any

from mosec import Server, ValidationError, Worker

BATCH = 32


class Adder(Worker):
    """Adds one."""

    def forward(self, data: Any) -> dict[str, int]:
        """Return the answer to one request."""
        if not isinstance(data.get("x"), int):
            raise ValidationError("x must be a whole number")
        return {"y": data["x"] + 1}


class Mlp(Worker):
    """Predicts a batch in one pass."""

    def __init__(self) -> None:
        from benchmarks.peers import perceptron

        super().__init__()
        self._forward = perceptron.load()

    def forward(self, data: list[Any]) -> list[dict[str, list[float]]]:
        """Return the answers to a batch."""
        return [{"y": row} for row in self._forward([request["x"] for request in data])]


if __name__ == "__main__":
    server = Server()
    if sys.argv.pop(1) == "adder":  # mosec itself reads what is left
        server.append_worker(Adder)
    else:
        server.append_worker(Mlp, max_batch_size=BATCH)
    server.run()
