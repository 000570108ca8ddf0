"""The smallest model: ``x + 1`` behind a validated integer, answered through a response schema."""

from __future__ import annotations

from typing import Any

from modelserve.v2 import fields

schema = {"y": fields.Int(required=True)}


def get_metadata() -> dict[str, str]:
    """Name the model."""
    return {"name": "adder", "description": "Adds one."}


def get_predict_args() -> dict[str, Any]:
    """Declare the one argument."""
    return {"x": fields.Int(required=True)}


def predict(x: int) -> dict[str, Any]:
    """Return ``{"y": x + 1}``."""
    return {"y": x + 1}
