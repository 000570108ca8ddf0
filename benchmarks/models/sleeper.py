"""Sleeps for 10 ms: a model that is busy without using the processor, so that only the handing out of calls counts."""

from __future__ import annotations

import time
from typing import Any

from modelserve.v2 import fields

__all__ = ["SLEEP_S", "predict"]

SLEEP_S = 0.01

schema = {"slept_s": fields.Float(required=True)}


def get_metadata() -> dict[str, str]:
    """Name the model."""
    return {"name": "sleeper", "description": "Sleeps for 10 ms."}


def get_predict_args() -> dict[str, Any]:
    """Declare no argument."""
    return {}


def predict() -> dict[str, Any]:
    """Sleep, and return for how long."""
    time.sleep(SLEEP_S)
    return {"slept_s": SLEEP_S}
