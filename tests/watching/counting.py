"""A model that counts with prometheus_client, batches, fails, and trains; served as a file."""

from __future__ import annotations

import os
import time
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from modelserve.v2 import fields

SEEN = Counter("seen", "Items seen.", ["kind", "deployment"])
SIZES = Histogram("item_size", "Sizes of items.", buckets=(1, 10))
LOADED = Gauge("loaded", "Workers that have loaded it.", multiprocess_mode="sum")
LARGEST = Gauge("largest", "The largest item.", multiprocess_mode="max")
PID = Gauge("own", "Told by each worker.")
FORGED = Counter("modelserve_requests", "Not the server's.")

LOADED.set(1)
PID.set(7)

max_batch_size = 4


def get_metadata() -> dict[str, str]:
    """Return the metadata."""
    return {"id": "counting", "name": "Counting", "description": "Counts."}


def get_predict_args() -> dict[str, Any]:
    """Return the arguments."""
    return {
        "size": fields.Float(load_default=1.0, metadata={"description": "Of the item."}),
        "mode": fields.Str(load_default="", metadata={"description": "What goes wrong."}),
        "many": fields.Int(load_default=0, metadata={"description": "Series to make."}),
    }


def predict_batch(calls: list[dict[str, Any]]) -> list[Any]:
    """Count each item."""
    return [_one(**call) for call in calls]


def _one(size: float, mode: str, many: int) -> Any:
    SEEN.labels("item", "x").inc()
    SIZES.observe(size)
    LARGEST.set(max(size, 0))
    for number in range(many):
        SEEN.labels(f"kind-{number}", "x").inc()
    if mode == "raise":
        return ValueError("as was asked")
    if mode == "exit":
        os._exit(3)
    if mode == "hold":  # one call of C, which keeps the interpreter lock
        sum(range(int(size * 1e8)))
    if mode == "sleep":
        time.sleep(size)
    return {"pid": os.getpid()}


def get_train_args() -> dict[str, Any]:
    """Return the arguments of a training."""
    return {"seconds": fields.Float(load_default=0.0, metadata={"description": "How long it takes."})}


def train(seconds: float) -> dict[str, float]:
    """Sleep."""
    time.sleep(seconds)
    return {"seconds": seconds}
