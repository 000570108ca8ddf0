"""Pictures to try the model with, made of digits that it was not fitted on.

``python -m modelserve_digits.samples DIR`` writes ``0.png`` to ``9.png``, dark ink on white paper, and ``chalk.jpg``,
a light 4 near the corner of a dark board. The same files lie in the package's ``samples`` folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .classifier import LABELS, bundled, enlarged, held_out

__all__ = ["CHALK_LABEL", "write_samples"]

CHALK_LABEL = 4
"""The digit on ``chalk.jpg``."""

_SIDE, _MARGIN = 128, 16


def write_samples(folder: Path) -> list[Path]:
    """Write the samples into ``folder``, which is made where it does not exist, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {f"{label}.png": _on_paper(_typical(label, 0)) for label in LABELS}
    pictures["chalk.jpg"] = _on_board(_typical(CHALK_LABEL, 1))
    for name, picture in pictures.items():
        picture.save(folder / name)
    return [folder / name for name in pictures]


def _typical(label: int, rank: int) -> NDArray[np.float64]:
    """Return the held-out digit of a label that is, but for ``rank`` others, nearest to the mean of them all."""
    images, labels = bundled()
    mine: list[NDArray[np.float64]] = [images[index] for index in held_out() if labels[index] == label]
    mean = np.mean(mine, axis=0)
    return sorted(mine, key=lambda digit: float(np.abs(digit - mean).sum()))[rank]


def _on_paper(digit: NDArray[np.float64]) -> Image.Image:
    paper = np.pad(1.0 - enlarged(digit, _SIDE), _MARGIN, constant_values=1.0)
    return Image.fromarray(np.rint(paper * 255).astype(np.uint8))


def _on_board(digit: NDArray[np.float64]) -> Image.Image:
    board = np.full((240, 320), 0.15)
    board[90 : 90 + _SIDE, 40 : 40 + _SIDE] += 0.75 * enlarged(digit, _SIDE)
    grey = Image.fromarray(np.rint(board * 255).astype(np.uint8))
    return Image.merge("RGB", (grey, grey.point(lambda value: min(255, value + 12)), grey))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m modelserve_digits.samples DIR")
    for path in write_samples(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
