"""The perceptron behind modelserve: one call at a time, and in batches.

torch is imported when the model is made and not before. The number of its threads is what modelserve's device plan sets
in the worker's environment.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.models.perceptron import SIZES, Array, network
from modelserve.v2 import fields

__all__ = ["Batched", "Single"]


class Single:
    """Predicts one input at a time."""

    schema = {"y": fields.NDArray(dtype="float32", shape=(SIZES[-1],), required=True)}

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._network = network(torch)

    def get_metadata(self) -> dict[str, str]:
        """Name the model, and say how many threads it uses."""
        threads = self._torch.get_num_threads()
        return {"name": "mlp", "description": f"MLP 128-512-512-10 on {threads} thread(s)."}

    def get_predict_args(self) -> dict[str, Any]:
        """Declare the input vector."""
        return {"x": fields.NDArray(dtype="float32", shape=(SIZES[0],), required=True)}

    def predict(self, x: Array) -> dict[str, Any]:
        """Return ``{"y": (10,) float32}``."""
        return {"y": self._forward(x[None])[0]}

    def _forward(self, x: Array) -> Array:
        with self._torch.inference_mode():
            answer: Array = self._network(self._torch.from_numpy(x)).numpy()
        return answer


class Batched(Single):
    """Predicts all inputs that wait in one pass."""

    max_batch_size = 32

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return one ``{"y": (10,) float32}`` for each call, in order."""
        return [{"y": row} for row in self._forward(np.stack([call["x"] for call in calls]))]
