"""The smallest useful model: module-level functions, one integer in, one integer out."""

from __future__ import annotations

from typing import Any

from modelserve.v2 import fields

schema = {"y": fields.Int(required=True)}


def get_metadata() -> dict[str, str]:
    """Return the metadata."""
    return {"id": "plain", "name": "Plain", "description": "Adds one."}


def get_predict_args() -> dict[str, Any]:
    """Return the one argument."""
    return {"x": fields.Int(required=True, metadata={"description": "A whole number."})}


def predict(x: int) -> dict[str, int]:
    """Return ``x`` plus one."""
    return {"y": x + 1}
