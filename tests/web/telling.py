"""Two models as files, for tests of the doors: one tells what it was given, the other cannot predict."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web
from marshmallow.validate import OneOf

from modelserve.v2 import OutputFile, fields

__all__ = ["Silent", "Telling"]

MEDIA_TYPES = ("application/json", "text/csv", "application/octet-stream", "image/png", "text/html")


class Telling:
    """Answers with its arguments, or as ``answer`` says."""

    def get_metadata(self) -> dict[str, Any]:
        """Return metadata with every key."""
        return {
            "id": "telling",
            "name": "Telling",
            "description": "Tells what it was given.",
            "license": "Apache-2.0",
            "author": "A. Author",
            "version": "1.2.3",
            "url": "https://example.org/telling",
            "links": [{"rel": "help", "href": "https://example.org/help"}],
        }

    def get_predict_args(self) -> dict[str, Any]:
        """Return an argument for each location and form."""
        return {
            "x": fields.Int(load_default=0),
            "names": fields.List(fields.Str(), load_default=[]),
            "mood": fields.Str(load_default="", metadata={"location": "headers"}),
            "page": fields.Int(load_default=0, metadata={"location": "query"}),
            "file": fields.File(load_default=None),
            "files": fields.File(many=True, load_default=[]),
            "answer": fields.Str(load_default="arguments", validate=OneOf(sorted(_ANSWERS))),
            "accept": fields.Str(validate=OneOf(MEDIA_TYPES)),
        }

    def predict(self, **arguments: Any) -> Any:
        """Answer as ``answer`` says."""
        return _ANSWERS[arguments["answer"]](arguments)


class Silent:
    """Has metadata and nothing else."""

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Silent", "description": "Cannot predict."}


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {name: given[name] for name in ("x", "names", "mood", "page", "accept") if name in given}
    uploads = [*([given["file"]] if given["file"] else []), *given["files"]]
    told["files"] = [[file.original_filename, Path(file.filename).read_text()] for file in uploads]
    return told | {"paths": [file.filename for file in uploads], "pid": os.getpid()}


def _named(given: dict[str, Any]) -> io.BytesIO:
    file = io.BytesIO(b"named")
    file.name = given["names"][0] if given["names"] else "räport 1.bin"
    return file


def _output_file(given: dict[str, Any]) -> OutputFile:
    with tempfile.NamedTemporaryFile(delete=False, prefix="outfile-") as file:
        file.write(b"0123456789" * 100_000 * max(1, given["x"]))
    return OutputFile(file.name, content_type="application/octet-stream", original_filename="out.bin", delete=True)


def _refuse(given: dict[str, Any]) -> None:
    raise web.HTTPConflict(reason="Two of them disagree.")


def _redirect(given: dict[str, Any]) -> None:
    raise web.HTTPFound("https://example.org/")


_ANSWERS: dict[str, Any] = {
    "arguments": _arguments,
    "csv": lambda given: f"x\r\n{given['x']}\r\n",
    "bytes": lambda given: b"\x00raw\xff",
    "named": _named,
    "output_file": _output_file,
    "html": lambda given: "<script>alert(1)</script>",
    "refuse": _refuse,
    "redirect": _redirect,
}
