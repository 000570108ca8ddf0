"""A model as a file that trains, for tests of the routes of jobs: it takes each step only when a test lets it.

``gate`` names a folder: step n is taken once there is a file ``n`` in it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from marshmallow.validate import OneOf, Range

from modelserve.v2 import fields, progress

__all__ = ["Apprentice"]


class Apprentice:
    """Trains step by step, and predicts what it is asked for."""

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Apprentice", "description": "Learns."}

    def get_train_args(self) -> dict[str, Any]:
        """Return what a test wants to decide."""
        return {
            "epochs": fields.Int(required=True, validate=Range(min=0)),
            "gate": fields.Str(load_default=""),
            "mode": fields.Str(load_default="", validate=OneOf(["", "big", "files", "fail"])),
            "data": fields.File(load_default=None),
        }

    def train(self, epochs: int, gate: str, mode: str, data: Any) -> Any:
        """Print and report each step, then do what ``mode`` says."""
        for epoch in range(epochs):
            _wait_for(gate, epoch)
            print(f"epoch {epoch} of {epochs}", flush=True)  # noqa: T201
            progress(epoch / epochs)
            progress.log(step=epoch, loss=1 / (epoch + 1))
        _wait_for(gate, epochs)
        if mode == "fail":
            raise RuntimeError("a secret")
        if mode == "files":
            _keep_files(progress.artifacts)
        read = "" if data is None else data.read_bytes().decode()
        return {"epochs": epochs, "read": read, "more": "x" * 200_000 if mode == "big" else ""}

    def get_predict_args(self) -> dict[str, Any]:
        """Return a number, a file, a gate as above, and media types."""
        return {
            "x": fields.Int(required=True),
            "gate": fields.Str(load_default=""),
            "data": fields.File(load_default=None),
            "accept": fields.Str(validate=OneOf(["application/json", "text/csv"]), load_default="application/json"),
        }

    def predict(self, x: int, gate: str, data: Any, accept: str) -> Any:
        """Return twice the number, and what the file holds."""
        _wait_for(gate, 0)
        read = "" if data is None else data.read_bytes().decode()
        return {"y": 2 * x, "read": read} if accept == "application/json" else f"y\r\n{2 * x}\r\n"


def _wait_for(gate: str, step: int) -> None:
    while gate and not Path(gate, str(step)).exists() and not progress.cancelled:
        time.sleep(0.01)


def _keep_files(folder: Path) -> None:
    (folder / "plots").mkdir()
    (folder / "plots" / "loss.svg").write_text("<svg/>")
    (folder / "weights.bin").write_bytes(b"0123456789" * 100_000)
    (folder / "über 1.txt").write_text("é")
    (folder / "empty.json").write_bytes(b"")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "outside").symlink_to("/etc")
