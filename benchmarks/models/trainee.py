"""Adds one, and trains for as long as it is told to at the priority that it is told to take; for training.py.

To take a higher priority than a training is given needs the right to do so.
"""

from __future__ import annotations

import os
import time
from typing import Any

from marshmallow.validate import OneOf

from modelserve.v2 import fields, progress

__all__ = ["POLICIES", "get_metadata", "get_predict_args", "get_train_args", "predict", "train"]

# Policy of the scheduler, nice value, and nice value of the session's autogroup.
POLICIES = {
    "equal": (os.SCHED_OTHER, 0, 0),
    "nice-19": (os.SCHED_OTHER, 19, 0),
    "idle": (os.SCHED_IDLE, 19, 0),
    "session-10": (os.SCHED_BATCH, 10, 10),
    "session-19": (os.SCHED_BATCH, 19, 19),
    "session-idle": (os.SCHED_IDLE, 19, 19),
}


def get_metadata() -> dict[str, str]:
    return {"name": "Trainee", "description": "Trains while it predicts."}


def get_predict_args() -> dict[str, Any]:
    return {"x": fields.Int(required=True)}


def predict(x: int) -> dict[str, int]:
    return {"y": x + 1}


def get_train_args() -> dict[str, Any]:
    return {"policy": fields.Str(load_default="", validate=OneOf(["", *POLICIES]))}


def train(policy: str) -> int:
    """Keep a processor busy until it is cancelled; return how much was done."""
    if policy:
        scheduler, nice, session = POLICIES[policy]
        os.sched_setscheduler(0, scheduler, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with open("/proc/self/autogroup", "w") as file:
            file.write(str(session))
    rounds = 0
    while not progress.cancelled:
        sum(range(20_000))
        rounds += 1
        if rounds % 1000 == 0:
            progress.log(rounds=rounds)
            time.sleep(0)
    return rounds
