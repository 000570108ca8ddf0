"""Models for batch runs: one that sums, one that reads files, one that draws, one that streams."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marshmallow import validate

from modelserve.v2 import UploadedFile, fields


class Sums:
    """Adds numbers, in batches; some numbers fail, and one ends the process.

    ``PAUSE_S`` in the environment is how long each batch takes, and ``LIVES`` names a file that gets a line for each
    worker that was started.
    """

    max_batch_size = 32

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Sums", "description": "Adds numbers."}

    def warm(self) -> None:
        if "LIVES" in os.environ:
            with open(os.environ["LIVES"], "a") as file:
                file.write(f"{os.getpid()}\n")

    def get_predict_args(self) -> dict[str, Any]:
        return {
            "x": fields.Float(required=True),
            "y": fields.Float(load_default=0.5),
            "words": fields.List(fields.Str(), load_default=list),
            "array": fields.NDArray(dtype="float32", shape=(2,)),
            "where": fields.Str(metadata={"location": "query"}),
        }

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[Any]:
        time.sleep(float(os.environ.get("PAUSE_S", "0")))
        return [self._answer(call) for call in calls]

    def _answer(self, call: dict[str, Any]) -> Any:
        if call["x"] == -1:
            os._exit(3)
        if call["x"] < 0:
            return ValueError(f"{call['x']} is less than nothing")
        rest = {name: call[name] for name in ("words", "where") if call.get(name)}
        if "array" in call:
            rest["array"] = call["array"].tolist()
        return {"sum": call["x"] + call["y"], **rest} if rest else call["x"] + call["y"]


class Turns(Sums):
    """The same without batches."""

    predict_batch = None  # type: ignore[assignment]

    def predict(self, **call: Any) -> Any:
        answer = self._answer(call)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Reads:
    """Reads a text file, and takes it away as a careless model does; as a PNG it is bytes."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Reads", "description": "Reads files."}

    def get_predict_args(self) -> dict[str, Any]:
        types = validate.OneOf(["application/json", "image/png"])
        return {
            "text": fields.File(required=True),
            "times": fields.Int(load_default=1),
            "accept": fields.Str(load_default="application/json", validate=types),
        }

    def predict(self, text: UploadedFile, times: int, accept: str) -> Any:
        found = Path(text.filename).read_text()
        os.unlink(text.filename)
        if accept == "image/png":
            return b"\x89PNG" + found.encode()
        return {"name": text.original_filename, "text": found * times}


class Once(Turns):
    """Can be started once only, however often its process ends."""

    def warm(self) -> None:
        if os.path.exists(os.environ["LIVES"]):
            raise RuntimeError("no second life")
        super().warm()


class Writes:
    """Answers with a file that it has written."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Writes", "description": "Writes a file."}

    def get_predict_args(self) -> dict[str, Any]:
        return {"text": fields.Str(required=True)}

    def predict(self, text: str) -> Path:
        folder, name = tempfile.gettempdir(), text.replace(" ", "")
        path = Path(folder, f"{name}.txt")
        path.write_text(text)
        return path


class Draws:
    """Answers with a picture, and nothing else."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Draws", "description": "Draws."}

    def get_predict_args(self) -> dict[str, Any]:
        types = validate.OneOf(["image/png"])
        return {"x": fields.Int(), "accept": fields.Str(load_default="image/png", validate=types)}

    def predict(self, accept: str, x: int = 0) -> bytes:
        return b"\x89PNG%d" % x


class Counts:
    """Streams the numbers up to one."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Counts", "description": "Counts."}

    def get_predict_args(self) -> dict[str, Any]:
        return {"n": fields.Int(required=True)}

    def predict(self, n: int) -> Iterator[dict[str, int]]:
        for number in range(n):
            yield {"number": number}
