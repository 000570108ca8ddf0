"""What a training looks at: the training part of the bundled digits, and more where the client sends some.

digits --Lessons.next, once an epoch--> squares as they come out of pictures, tilted by chance

``python -m modelserve_digits.lessons FILE.npz`` writes a file of digits as a client may send it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classifier import bundled, held_out, tilted_views
from .keeping import read_arrays
from .picture import SIDE, square

__all__ = ["Lessons", "UnreadableDatasetError", "read_dataset"]

_MOST = 20_000
"""Digits in a file at most: an epoch takes about 0.2 ms for each."""

_FULL = 16.0
_INKED = 8.0
"""A digit whose strongest pixel has less than this counts as blank."""

Images = NDArray[np.float64]
Labels = NDArray[np.int64]


class UnreadableDatasetError(Exception):
    """The file has no digits to learn."""


class Lessons:
    """The digits to learn; the held-out ones are never among the bundled ones of them.

    Args:
        more: Images and labels to learn besides, as ``read_dataset`` returns them.
    """

    def __init__(self, more: tuple[Images, Labels] | None = None) -> None:
        images, labels = bundled()
        mine = np.setdiff1d(np.arange(len(labels)), held_out())
        parts = [(images[mine], labels[mine]), *([more] if more else [])]
        self._images = np.concatenate([images for images, _ in parts])
        self._labels = np.concatenate([labels for _, labels in parts])
        self._chance = np.random.default_rng(0)

    def next(self) -> tuple[NDArray[np.float32], Labels]:
        """Return ``(3n, 8, 8)`` squares of 0..16 and their labels, in random order: each of the n digits three times.

        Once it is as it is, twice it is enlarged, tilted by chance and made a square again, as pictures are.
        """
        squares = np.concatenate([self._images, np.stack(list(self._views()))]).astype(np.float32)
        labels = np.concatenate([self._labels, np.repeat(self._labels, 2)])
        order = self._chance.permutation(len(labels))
        return squares[order], labels[order]

    def _views(self) -> Iterator[Images]:
        for image in self._images:
            yield from map(square, tilted_views(image, self._chance))


def read_dataset(path: str | Path) -> tuple[Images, Labels]:
    """Return the digits of an npz file: ``images`` of (n, 8, 8), 0 paper to 16 ink, and ``labels`` of (n,), 0 to 9.

    Raises:
        UnreadableDatasetError: The file is none, or the arrays in it are others; the sentence is for who sent it.
    """
    try:
        images, labels = read_arrays(path, ["images", "labels"]).values()
    except ValueError as error:
        raise UnreadableDatasetError("Send an npz file with the arrays images and labels.") from error
    if not _is_images(images) or not _is_labels(labels, len(images)):
        raise UnreadableDatasetError(
            f"images must be numbers from 0 to 16 of the shape (n, 8, 8), none of them blank, and labels n whole "
            f"numbers from 0 to 9, n being 1 to {_MOST}."
        )
    return images.astype(np.float64), labels.astype(np.int64)


def _is_images(images: NDArray[Any]) -> bool:
    if images.dtype.kind not in "fiu" or images.shape[1:] != (SIDE, SIDE) or not 1 <= len(images) <= _MOST:
        return False
    # A comparison with NaN is false, so that it is refused too.
    return bool(((images >= 0) & (images <= _FULL)).all() and (images.max(axis=(1, 2)) >= _INKED).all())


def _is_labels(labels: NDArray[Any], count: int) -> bool:
    return labels.dtype.kind in "iu" and labels.shape == (count,) and bool(((labels >= 0) & (labels <= 9)).all())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m modelserve_digits.lessons FILE.npz")
    images, labels = bundled()
    chosen = np.setdiff1d(np.arange(len(labels)), held_out())[:200]
    np.savez(sys.argv[1], images=images[chosen], labels=labels[chosen])
