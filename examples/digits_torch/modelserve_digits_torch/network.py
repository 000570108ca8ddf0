"""Squares of 8 by 8 -> probabilities of the ten digits, in one pass on a GPU or on CPUs.

(n, 8, 8) 0..16, numpy --one copy to the device--> network --one copy back--> (n, 10) 0..1, numpy
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["HIDDEN", "Reader", "best_device", "build", "hidden_size"]

HIDDEN = 64
"""How many units the hidden layer of the built-in network has."""

_FULL = 16.0
"""The value of full ink in a square."""


def build(hidden: int = HIDDEN) -> nn.Module:
    """Return the network with fresh random weights: ``(n, 1, 8, 8)`` of 0..1 to ``(n, 10)`` scores.

    Its hidden layer has ``hidden`` units; with 64 there are 85,066 weights.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, 10),
    )


def hidden_size(state: dict[str, torch.Tensor]) -> int:
    """Return how many hidden units the network has that this state is of.

    Raises:
        KeyError: It is the state of another network.
    """
    return len(state["7.weight"])


def best_device() -> torch.device:
    """Return the GPU that modelserve gave this worker, which is always the first that it sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Reader:
    """A trained network on its device.

    Args:
        network: What ``build`` makes, trained; it is moved to the device and reads from now on.
        device: Where to run.
        bf16: Whether to multiply in bfloat16, which a GPU's tensor cores are made for. Weights and probabilities are
            float32 either way.
    """

    def __init__(self, network: nn.Module, device: torch.device, *, bf16: bool) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self._bf16 = bf16

    @torch.inference_mode()
    def probabilities(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(n, 10)``, rows summing to 1, for ``(n, 8, 8)`` squares of 0..16, n at least 1."""
        together = torch.from_numpy(squares).to(self._device)[:, None] / _FULL
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            scores = self._network(together)
        rows: NDArray[np.float32] = scores.float().softmax(dim=1).cpu().numpy()
        return rows
