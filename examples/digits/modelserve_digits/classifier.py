"""scikit-learn's bundled handwritten digits -> a classifier of 8x8 squares with probabilities.

A fifth of the 1,797 digits is held out: never fitted on, used for the accuracy below and for the sample pictures.
``python -m modelserve_digits.classifier`` fits, measures on the held-out part and says the figure.
"""

from __future__ import annotations

import sys
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from .picture import square

__all__ = [
    "LABELS",
    "Classifier",
    "accuracy",
    "bundled",
    "enlarged",
    "fit",
    "held_out",
    "held_out_pictures",
    "shown",
    "tilted_views",
]

LABELS = tuple(range(10))
"""The digits, in the order of the columns of ``predict_proba``."""

_ENLARGED_SIDE = 64
_TILTS = (-10.0, 10.0)
_MOST_TILTED = 12.0
"""Degrees, either way."""


class Classifier(Protocol):
    """What ``fit`` returns, in the words of scikit-learn."""

    def predict_proba(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``(n, 10)`` probabilities, rows summing to 1, for ``(n, 64)`` squares of 0..16."""
        ...


def bundled() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scikit-learn's digits: ``(1797, 8, 8)`` images, 0 paper to 16 ink, and their ``(1797,)`` labels."""
    digits = load_digits()
    return digits.images, digits.target


def held_out() -> NDArray[np.int64]:
    """Return the indices of the 360 digits that ``fit`` never sees, in rising order."""
    return np.sort(_parts()[1])


def fit() -> Classifier:
    """Return a classifier fitted on the training part; takes about a second on one core."""
    squares, labels = shown()
    # The views of one digit are neighbours and the folds are unshuffled, so that a fold is not calibrated on
    # views of digits that it was fitted on.
    classifier = CalibratedClassifierCV(SVC(C=10, gamma=0.001), method="temperature", cv=3, ensemble=False)
    classifier.fit(squares.reshape(len(squares), -1), labels)
    return cast("Classifier", classifier)


def shown() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what a classifier is fitted on: ``(n, 8, 8)`` squares of 0..16 and their ``(n,)`` labels.

    Each digit of the training part is shown as it is and enlarged, upright and tilted both ways, through the same
    ``square`` that pictures of clients go through. The views of one digit are neighbours.
    """
    images, labels = bundled()
    training = np.sort(_parts()[0])
    squares = [square(view) for index in training for view in _views(images[index])]
    return np.stack(squares), np.repeat(labels[training], len(squares) // len(training))


def accuracy(classifier: Classifier) -> float:
    """Return the part of the held-out digits, enlarged as the samples are, that the classifier gets right."""
    squares, labels = held_out_pictures()
    rows = classifier.predict_proba(squares.reshape(len(squares), -1).astype(np.float64))
    return float(np.mean(rows.argmax(axis=1) == labels))


def held_out_pictures() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the held-out digits as they come out of pictures, ``(360, 8, 8)`` of 0..16, and their labels."""
    images, labels = bundled()
    indices = held_out()
    squares = [square(enlarged(images[index], _ENLARGED_SIDE)) for index in indices]
    return np.stack(squares).astype(np.float32), labels[indices]


def tilted_views(digit: NDArray[np.float64], chance: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return an ``(8, 8)`` digit of 0..16 enlarged to ``(64, 64)``, 0..1, in two ways, each tilted by chance."""
    views = (enlarged(digit, _ENLARGED_SIDE), _resized(digit, _ENLARGED_SIDE, Image.Resampling.NEAREST))
    return [_tilted(view, chance.uniform(-_MOST_TILTED, _MOST_TILTED)) for view in views]


def enlarged(digit: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return an ``(8, 8)`` digit of 0..16 as ``(side, side)``, 0..1, smoothly enlarged."""
    return _resized(digit, side, Image.Resampling.BICUBIC)


def _parts() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    _, labels = bundled()
    training, held = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    return training, held


def _views(digit: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    smooth = enlarged(digit, _ENLARGED_SIDE)
    return [_resized(digit, _ENLARGED_SIDE, Image.Resampling.NEAREST), smooth, *(_tilted(smooth, by) for by in _TILTS)]


def _resized(digit: NDArray[np.float64], side: int, how: Image.Resampling) -> NDArray[np.float64]:
    picture = Image.fromarray((digit / 16.0).astype(np.float32)).resize((side, side), how)
    return np.clip(np.asarray(picture, dtype=np.float64), 0.0, 1.0)


def _tilted(inked: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    picture = Image.fromarray(inked.astype(np.float32)).rotate(degrees, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(picture, dtype=np.float64), 0.0, 1.0)


if __name__ == "__main__":
    sys.stdout.write(f"accuracy on {len(held_out())} held-out digits: {accuracy(fit()):.3f}\n")
