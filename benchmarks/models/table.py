"""Models for many rows: a trivial one, whose cost is all of it the way, and scikit-learn's perceptron on its digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelserve.v2 import fields

__all__ = ["MAX_BATCH_SIZE", "Digits", "Sums"]

MAX_BATCH_SIZE = 64


class Sums:
    """Adds two numbers, by numpy."""

    max_batch_size = MAX_BATCH_SIZE
    schema = {"sum": fields.Float(required=True)}

    def get_metadata(self) -> dict[str, str]:
        """Name the model."""
        return {"name": "sums", "description": "Adds two numbers."}

    def get_predict_args(self) -> dict[str, Any]:
        """Declare the two numbers."""
        return {"x": fields.Float(required=True), "y": fields.Float(required=True)}

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return ``{"sum": x + y}`` for each call."""
        pairs = np.array([(call["x"], call["y"]) for call in calls])
        return [{"sum": total} for total in pairs.sum(axis=1).tolist()]


class Digits:
    """Reads handwritten digits of 8 x 8 pixels; fitted on scikit-learn's when it is warmed."""

    max_batch_size = MAX_BATCH_SIZE
    schema = {"digit": fields.Int(required=True), "probability": fields.Float(required=True)}

    def get_metadata(self) -> dict[str, str]:
        """Name the model."""
        return {"name": "digits", "description": "Reads handwritten digits."}

    def get_predict_args(self) -> dict[str, Any]:
        """Declare the picture ``(64,)``, 0 paper to 16 ink."""
        return {"image": fields.NDArray(dtype="float32", shape=(64,), required=True)}

    def warm(self) -> None:
        """Fit the perceptron; takes a second or two."""
        from sklearn.datasets import load_digits
        from sklearn.neural_network import MLPClassifier

        digits = load_digits()
        self._network = MLPClassifier((64,), max_iter=60, tol=0.01, random_state=1)
        self._network.fit(digits.data.astype(np.float32), digits.target)

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the likeliest digit of each picture, and how likely it is."""
        found = self._network.predict_proba(np.stack([call["image"] for call in calls]))
        digits = found.argmax(axis=1).tolist()
        return [{"digit": digit, "probability": float(row[digit])} for digit, row in zip(digits, found, strict=True)]
