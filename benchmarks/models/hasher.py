"""Hashes an uploaded file: what a large upload costs, with as little model behind it as may be."""

from __future__ import annotations

import hashlib
from typing import Any

from modelserve.v2 import fields
from modelserve.v2.files import UploadedFile

schema = {"sha256": fields.Str(required=True)}


def get_metadata() -> dict[str, str]:
    """Name the model."""
    return {"name": "hasher", "description": "Answers the SHA-256 of a file."}


def get_predict_args() -> dict[str, Any]:
    """Declare the one file."""
    return {"file": fields.File(required=True)}


def predict(file: UploadedFile) -> dict[str, Any]:
    """Return ``{"sha256": hex digits}`` of the file."""
    with open(file.filename, "rb") as content:
        return {"sha256": hashlib.file_digest(content, "sha256").hexdigest()}
