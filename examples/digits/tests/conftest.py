"""One fitted model for all tests, and pictures as a client would send them."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

import pytest
from modelserve_digits.model import Digits

from modelserve.v2 import UploadedFile


@pytest.fixture(scope="session")
def model() -> Digits:
    """A warm model."""
    model = Digits()
    model.warm()
    return model


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample pictures that lie in the repository."""
    return Path(__file__).parent.parent / "samples"


def call(path: Path, **more: Any) -> dict[str, Any]:
    """Return the keyword arguments that modelserve gives to ``predict`` for an uploaded file."""
    content_type = mimetypes.guess_type(path)[0] or ""
    image = UploadedFile("image", str(path), content_type, path.name, path.stat().st_size)
    return {"image": image, "top_k": 3, "accept": "application/json", **more}
