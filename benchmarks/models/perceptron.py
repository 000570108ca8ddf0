"""The 128-512-512-10 perceptron itself, the same for modelserve and every peer: weights, torch network, right answer.

The weights come from numpy's generator with a fixed seed, so that the bench can tell by numpy alone what the right
answer is. Nothing but numpy is imported here, and no modelserve: the peers have none.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SIZES", "Array", "expected", "network", "weights"]

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


def network(torch: Any) -> Any:
    """Return it as a module of this torch, ready to predict ``(batch, 128)`` float32 -> ``(batch, 10)``."""
    layers: list[Any] = []
    for weight, bias in weights():
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).eval()
