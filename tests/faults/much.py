"""A model that answers as much as it is asked for, in memory."""

from __future__ import annotations

import time
from typing import Any

from modelserve.v2 import fields

__all__ = ["Much"]


class Much:
    """Answers so many bytes, after so many seconds."""

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Much", "description": "Answers as much as it is asked for."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return how much, how late, and as what."""
        accept = fields.Str(load_default="application/octet-stream", metadata={"location": "headers"})
        waits = {"wait_s": fields.Float(load_default=0.0), "text": fields.Str(load_default="")}
        return {"size": fields.Int(load_default=2), "accept": accept, **waits}

    def predict(self, size: int, wait_s: float, accept: str, text: str) -> Any:
        """Return that many bytes, whatever the text."""
        time.sleep(wait_s)
        return b"x" * size
