"""MLServer: ``python -m benchmarks.peers.mlserver adder|mlp PORT`` writes settings and becomes ``mlserver start``."""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported"

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec, NumpyRequestCodec

from benchmarks.exchange import free_port

BATCH = 32
# It has no default: without one it does not batch. The same as the defaults of mosec and Ray Serve.
BATCH_TIME_S = 0.01


class Adder(MLModel):
    """Adds one."""

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """Add one."""
        x = NumpyCodec.decode_input(payload.inputs[0])
        return NumpyRequestCodec.encode_response(self.name, x + 1)


class Mlp(MLModel):
    """Predicts what MLServer has put together."""

    async def load(self) -> bool:
        """Load the network."""
        from benchmarks.peers import perceptron

        self._forward = perceptron.load()
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """Predict."""
        import numpy as np

        rows = self._forward(NumpyCodec.decode_input(payload.inputs[0]))
        return NumpyRequestCodec.encode_response(self.name, np.asarray(rows, np.float32))


def _write(model: str, port: int) -> None:
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "debug": False,
        "parallel_workers": 1,
    }
    described: dict[str, Any] = {"name": model, "implementation": f"{__spec__.name}.{model.title()}"}
    if model == "mlp":
        described |= {"max_batch_size": BATCH, "max_batch_time": BATCH_TIME_S}
    Path("settings.json").write_text(json.dumps(settings))
    Path("model-settings.json").write_text(json.dumps(described))


if __name__ == "__main__":
    _write(sys.argv[1], int(sys.argv[2]))
    program = Path(sys.executable).with_name("mlserver")
    os.execv(program, [str(program), "start", "."])
