"""The digits of the digits example -> the built-in network, in some seconds on a CPU.

``python -m modelserve_digits_torch.training`` trains, measures on the digits that were held out, and says the figures.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import numpy as np
import torch
from modelserve_digits.classifier import bundled, held_out, held_out_pictures, shown
from numpy.typing import NDArray
from torch import nn

from .network import Reader, build

__all__ = ["accuracy", "held_out_squares", "run_through", "train"]

_EPOCHS, _BATCH = 6, 64
_SMOOTHING = 0.1
"""Without it the network is as good as certain of every digit, right or wrong."""
_FASTEST = 0.008
"""The highest learning rate, reached after a third of the steps."""

Squares = NDArray[np.float32]
Labels = NDArray[np.int64]


def train() -> nn.Module:
    """Return a trained network.

    It is trained on one CPU whatever there is, from a fixed seed, so that every machine gets nearly the same weights;
    for batches this small, more threads are no faster. Torch's generator and threads are left as they were.
    """
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(0)
        network = build().train()
        squares, labels = (torch.from_numpy(array) for array in _training())
        _fit(network, squares[:, None] / 16.0, labels)
    return network.eval()


def accuracy(reader: Reader, squares: Squares, labels: Labels) -> float:
    """Return the part of the squares that is read right."""
    return float(np.mean(reader.probabilities(squares).argmax(axis=1) == labels))


def run_through(
    network: nn.Module, optimiser: torch.optim.Optimizer, squares: torch.Tensor, labels: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Take a step for each batch of the squares, in random order, and yield its loss.

    Args:
        network: What ``build`` makes, in training mode.
        optimiser: What takes the steps.
        squares: ``(n, 1, 8, 8)`` of 0..1, on the network's device.
        labels: ``(n,)``, there too.
    """
    measure = nn.CrossEntropyLoss(label_smoothing=_SMOOTHING)
    order = torch.randperm(len(squares), device=squares.device)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        optimiser.zero_grad()
        loss = measure(network(squares[chosen]), labels[chosen])
        torch.autograd.backward(loss)
        optimiser.step()
        yield loss.detach()


def held_out_squares() -> tuple[Squares, Labels]:
    """Return the 360 digits that ``train`` never sees, as they are, and their labels."""
    images, labels = bundled()
    return images[held_out()].astype(np.float32), labels[held_out()]


def _training() -> tuple[Squares, Labels]:
    """Return the training part, both as it is, which clients may send, and as it comes out of pictures."""
    images, labels = bundled()
    mine = np.setdiff1d(np.arange(len(labels)), held_out())
    squares, their_labels = shown()
    return np.concatenate([images[mine], squares]).astype(np.float32), np.concatenate([labels[mine], their_labels])


def _fit(network: nn.Module, squares: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser = torch.optim.AdamW(network.parameters())
    steps = _EPOCHS * -(-len(squares) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _FASTEST, total_steps=steps)
    for _ in range(_EPOCHS):
        for _ in run_through(network, optimiser, squares, labels):
            schedule.step()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    trained = Reader(train(), torch.device("cpu"), bf16=False)
    for what, held in (("digits", held_out_squares()), ("pictures", held_out_pictures())):
        sys.stdout.write(f"accuracy on 360 held-out {what}: {accuracy(trained, *held):.3f}\n")
