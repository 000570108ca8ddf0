"""LitServe: ``python -m benchmarks.peers.litserve adder|mlp PORT``."""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported"

from __future__ import annotations

import sys

import litserve

BATCH = 32


class Adder(litserve.LitAPI):
    """Adds one."""

    def setup(self, device: str) -> None:
        """Load nothing."""

    # LitServe goes by the annotation: without one it hands over the parsed JSON.
    def decode_request(self, request) -> int:  # type: ignore[no-untyped-def]
        """Return the number."""
        return int(request["x"])

    def predict(self, x: int) -> int:
        """Add one."""
        return x + 1

    def encode_response(self, output: int) -> dict[str, int]:
        """Return the answer."""
        return {"y": output}


class Mlp(litserve.LitAPI):
    """Predicts a batch in one pass."""

    def setup(self, device: str) -> None:
        """Load the network."""
        from benchmarks.peers import perceptron

        self._forward = perceptron.load()

    def decode_request(self, request) -> list[float]:  # type: ignore[no-untyped-def]
        """Return the vector."""
        vector: list[float] = request["x"]
        return vector

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        """Leave the vectors as they are: the network stacks them."""
        return inputs

    def predict(self, x: list[list[float]]) -> list[list[float]]:
        """Predict."""
        return self._forward(x)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """Leave the rows as they are."""
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """Return the answer."""
        return {"y": output}


if __name__ == "__main__":
    api = Adder() if sys.argv[1] == "adder" else Mlp(max_batch_size=BATCH)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
