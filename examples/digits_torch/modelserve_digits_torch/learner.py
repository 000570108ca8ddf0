"""A network that learns on its device, epoch by epoch, as the course of the digits example teaches it.

squares, labels --learn, once an epoch--> Learner.network()
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .network import Reader, best_device, build
from .training import run_through

__all__ = ["Learner"]

_FULL = 16.0
"""The value of full ink in a square."""


class Learner:
    """A fresh network on the GPU that modelserve gave this training, else on CPUs.

    The first weights come from torch's generator, as does the order of what it looks at.

    Args:
        hidden_size: How many hidden units.
        learning_rate: How far a step of AdamW goes.
    """

    def __init__(self, *, hidden_size: int, learning_rate: float) -> None:
        self._device = best_device()
        self._network = build(hidden_size).to(self._device)
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=learning_rate)

    def learn(self, squares: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Look once at each of ``(n, 8, 8)`` squares of 0..16, and return the mean loss on the way."""
        together = torch.from_numpy(squares).to(self._device)[:, None] / _FULL
        labelled = torch.from_numpy(labels).to(self._device)
        self._network.train()
        # One look at the mean: asking a GPU for each loss would have it wait each time.
        return float(torch.stack(list(run_through(self._network, self._optimiser, together, labelled))).mean())

    def probabilities(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(n, 10)`` probabilities for ``(n, 8, 8)`` squares of 0..16."""
        return Reader(self._network, self._device, bf16=False).probabilities(squares)

    def network(self) -> nn.Module:
        """Return the network, on the CPU and for reading; nothing is learnt after it."""
        return self._network.cpu().eval()
