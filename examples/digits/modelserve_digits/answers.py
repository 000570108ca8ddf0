"""What is said of a digit: the likeliest, how sure the model is of it, and the next ones.

ten probabilities --> answer --> a dict that fits SCHEMA
"""

from __future__ import annotations

from typing import Any

import numpy as np
from marshmallow import Schema
from numpy.typing import NDArray

from modelserve.v2 import fields

__all__ = ["SCHEMA", "answer"]


class Candidate(Schema):
    """One digit that the picture may show."""

    label = fields.Int(required=True, metadata={"description": "The digit, 0 to 9."})
    probability = fields.Float(required=True, metadata={"description": "How sure the model is of it, 0 to 1."})


SCHEMA: dict[str, Any] = {
    "label": fields.Int(required=True, metadata={"description": "The likeliest digit, 0 to 9."}),
    "probability": fields.Float(required=True, metadata={"description": "How sure the model is of it, 0 to 1."}),
    "predictions": fields.List(
        fields.Nested(Candidate),
        required=True,
        metadata={"description": "The `top_k` likeliest digits, the likeliest first."},
    ),
    "weights": fields.Str(
        required=True,
        metadata={"description": "Which weights read it: `built-in`, or when they were trained (UTC)."},
    ),
}


def answer(probabilities: NDArray[np.floating[Any]], top_k: int, weights: str) -> dict[str, Any]:
    """Return the ``top_k`` likeliest of ten digits, given the probability of each and what the weights are called."""
    likeliest = np.argsort(-probabilities, kind="stable")[:top_k]
    candidates = [{"label": int(digit), "probability": round(float(probabilities[digit]), 6)} for digit in likeliest]
    return {**candidates[0], "predictions": candidates, "weights": weights}
