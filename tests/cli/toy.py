"""A model with every kind of argument, and ones that cannot start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from marshmallow import validate

from modelserve.v2 import UploadedFile, fields


class Toy:
    """Says what it was given."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Toy \x1b[31m", "description": "Says what it [was] given.", "version": "1.5", "author": "Ada"}

    def get_predict_args(self) -> dict[str, Any]:
        media_types = ["application/json", "image/png"]
        number = validate.Range(0, 9)
        return {
            "top_k": fields.Int(required=True, validate=number, metadata={"description": "How many."}),
            "tags": fields.List(fields.Str(), load_default=["none"]),
            "is_big": fields.Bool(load_default=False),
            "text_file": fields.File(),
            "array": fields.NDArray(dtype="float32", shape=(2,)),
            "where": fields.Str(metadata={"location": "query"}),
            "accept": fields.Str(load_default="application/json", validate=validate.OneOf(media_types)),
        }

    def predict(
        self, top_k: int, tags: list[str], is_big: bool, accept: str, text_file: UploadedFile | None = None, **rest: Any
    ) -> Any:
        if top_k == 9:
            raise RuntimeError("nine is \x1b[31m too many")
        if accept == "image/png":
            return b"\x89PNG"
        text = None
        if text_file is not None:
            text = [text_file.original_filename, Path(text_file.filename).read_text()]
            os.unlink(text_file.filename)  # as a careless model does
        rest = {name: value if isinstance(value, str) else value.tolist() for name, value in rest.items()}
        return {"top_k": top_k, "tags": tags, "is_big": is_big, "text": text, **rest}


class NoWeights(Toy):
    """Cannot warm."""

    def warm(self) -> None:
        raise FileNotFoundError("no weights at /w\x1b[31m")


class NoName(Toy):
    """Cannot be described."""

    def get_metadata(self) -> dict[str, Any]:
        return {}


class Dies(Toy):
    """Ends its process."""

    def __init__(self) -> None:
        os._exit(7)
