"""The perceptron as a function, for the peers; runs under each peer's own Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.models.perceptron import network

__all__ = ["Forward", "load"]

Forward = Callable[[Sequence[Any]], list[list[float]]]


def load() -> Forward:
    """Return a function from vectors ``(128,)`` to as many lists of ten numbers, in one pass."""
    module = network(torch)

    def forward(vectors: Sequence[Any]) -> list[list[float]]:
        with torch.inference_mode():
            answer: list[list[float]] = module(torch.from_numpy(np.asarray(vectors, np.float32))).tolist()
        return answer

    return forward
