"""Models that can be trained, each as its arguments say."""

from __future__ import annotations

import os
import time
from typing import Any

from marshmallow import validate

from modelserve.v2 import UploadedFile, fields, progress


class Trainable:
    """Reports each epoch, and can be told to wait, to be blind or deaf to a cancellation, to fail and to die."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Trainable", "description": "Learns to count."}

    def predict(self) -> int:
        return 1

    def get_train_args(self) -> dict[str, Any]:
        few = validate.Range(1, 1000)
        return {
            "epochs": fields.Int(load_default=3, validate=few, metadata={"description": "How often."}),
            "pause_s": fields.Float(load_default=0.0),
            "mode": fields.Str(
                load_default="good", validate=validate.OneOf(["good", "big", "loud", "blind", "deaf", "raise", "die"])
            ),
            "layers": fields.List(fields.Int(), load_default=[]),
            "tree": fields.Dict(load_default=None, allow_none=True),
            "data": fields.File(load_default=None),
            "url": fields.Str(load_default="none"),
        }

    def train(self, epochs: int, pause_s: float, mode: str, data: UploadedFile | None, **rest: Any) -> dict[str, Any]:
        print("it begins")  # noqa: T201
        text = "" if data is None else f"{data.original_filename}: {data.read_bytes().decode()}"
        for epoch in range(epochs):
            progress.log(step=epoch, loss=1 / (epoch + 1))
            progress((epoch + 1) / epochs, accuracy=0.5)
            time.sleep(pause_s)
            if mode == "loud":
                print("epoch", epoch, flush=True)  # noqa: T201
            if mode != "blind" and progress.cancelled and mode != "deaf":
                print("it stops")  # noqa: T201
                break
        if mode == "raise":
            raise RuntimeError("no more \x1b[31m luck")
        if mode == "die":
            os._exit(3)
        (progress.artifacts / "plots").mkdir()
        (progress.artifacts / "plots" / "loss.txt").write_text("down")
        (progress.artifacts / "weights.bin").write_bytes(b"\0\1")
        return {"epochs": epoch + 1, "data": "x" * 200_000 if mode == "big" else text, **rest}


class Untrainable:
    """Has no train method."""

    def predict(self) -> int:
        return 1


class Broken(Trainable):
    """Cannot be loaded."""

    def __init__(self) -> None:
        raise FileNotFoundError("no base weights")
