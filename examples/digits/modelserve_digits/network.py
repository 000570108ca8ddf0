"""A network with one hidden layer: learnt with scikit-learn, run with numpy, kept as plain arrays.

Learner --learn, once an epoch--> Learner.network() --> Network --predict_proba--> probabilities
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from .classifier import LABELS
from .picture import SIDE

__all__ = ["Learner", "Network"]

_BATCH = 64
_FULL = 16.0

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Network:
    """The weights of a network with ``h`` hidden units.

    Attributes:
        hidden: ``(64, h)``, from the square to the hidden units.
        hidden_bias: ``(h,)``.
        output: ``(h, 10)``, from the hidden units to the scores of the digits.
        output_bias: ``(10,)``.
    """

    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats

    @property
    def fits(self) -> bool:
        """Whether the arrays belong together, and to squares of 8 by 8 and ten digits."""
        arrays = (self.hidden, self.hidden_bias, self.output, self.output_bias)
        size = self.hidden_bias.size
        shapes = [(SIDE * SIDE, size), (size,), (size, len(LABELS)), (len(LABELS),)]
        kinds = {array.dtype.kind for array in arrays}
        return [array.shape for array in arrays] == shapes and kinds == {"f"} and all(map(_is_finite, arrays))

    def predict_proba(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``(n, 10)`` probabilities, rows summing to 1, for ``(n, 64)`` squares of 0..16."""
        active = np.maximum(squares / _FULL @ self.hidden + self.hidden_bias, 0.0)
        scores = active @ self.output + self.output_bias
        parts: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        parts /= parts.sum(axis=1, keepdims=True)
        return parts


class Learner:
    """A network that learns: Adam with batches of 64, from a fixed seed, so that the same lessons teach it the same.

    Args:
        hidden_size: How many hidden units.
        learning_rate: How far a step goes.
    """

    def __init__(self, *, hidden_size: int, learning_rate: float) -> None:
        self._classifier = MLPClassifier(
            (hidden_size,), learning_rate_init=learning_rate, batch_size=_BATCH, random_state=0
        )

    def learn(self, squares: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Look once at each of ``(n, 8, 8)`` squares of 0..16, and return the mean loss on the way."""
        self._classifier.partial_fit(squares.reshape(len(squares), -1) / _FULL, labels, classes=LABELS)
        return float(self._classifier.loss_)

    def probabilities(self, squares: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ``(n, 10)`` probabilities for ``(n, 8, 8)`` squares of 0..16."""
        return self.network().predict_proba(squares.reshape(len(squares), -1).astype(np.float64))

    def network(self) -> Network:
        """Return what it has learnt so far; ``learn`` comes first."""
        hidden, output = self._classifier.coefs_
        hidden_bias, output_bias = self._classifier.intercepts_
        return Network(hidden, hidden_bias, output, output_bias)


def _is_finite(array: Floats) -> bool:
    return bool(np.isfinite(array).all())
