"""One fitted model for all tests, and pictures as a client would send them."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modelserve_digits.model import Digits

from modelserve.v2 import UploadedFile


@pytest.fixture(scope="session", autouse=True)
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this run keeps what a user keeps, weights and jobs, in the tests and in the workers of their servers."""
    path = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(path))
        patch.delenv("DIGITS_WEIGHTS", raising=False)
        yield path


@pytest.fixture(scope="session")
def model(user_folder: Path) -> Digits:
    """A warm model with the built-in weights."""
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
