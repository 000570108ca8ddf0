"""A 128-512-512-10 perceptron in torch with random weights: one call at a time, and in batches.

The weights come from numpy's generator with a fixed seed, so that the bench can tell by numpy alone what the right
answer is. torch is imported when the model is made and not before, for the same reason. The number of its threads is
what modelserve's device plan sets in the worker's environment.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from modelserve.v2 import fields

__all__ = ["Batched", "Single", "expected"]

SIZES = (128, 512, 512, 10)

Array = npt.NDArray[np.float32]


def weights() -> list[tuple[Array, Array]]:
    """Return weight ``(out, in)`` and bias ``(out,)`` of each layer, float32, the same ones every time."""
    random = np.random.default_rng(20)
    made = []
    for wide, out in pairwise(SIZES):
        scale = 1 / np.sqrt(wide)
        made.append(
            (
                random.uniform(-scale, scale, (out, wide)).astype(np.float32),
                random.uniform(-scale, scale, out).astype(np.float32),
            )
        )
    return made


def expected(x: Array) -> Array:
    """Return the answer ``(10,)`` float32 for one input ``(128,)``, by numpy."""
    for number, (weight, bias) in enumerate(weights(), start=1):
        x = weight @ x + bias
        if number < len(SIZES) - 1:
            x = np.maximum(x, 0)
    return x


class Single:
    """Predicts one input at a time."""

    schema = {"y": fields.NDArray(dtype="float32", shape=(SIZES[-1],), required=True)}

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._network = _network(torch)

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


def _network(torch: Any) -> Any:
    layers: list[Any] = []
    for weight, bias in weights():
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).eval()
