"""Weights that are trained once for all tests, and pictures as a client would send them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modelserve_digits.samples import write_samples
from modelserve_digits_torch.model import DigitsTorch

from modelserve.v2 import UploadedFile


@pytest.fixture(scope="session", autouse=True)
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this run keeps what a user keeps, weights and jobs, in the tests and in the workers of their servers."""
    path = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(path / "data"))
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        patch.delenv("DIGITS_TORCH_WEIGHTS", raising=False)
        yield path


@pytest.fixture(scope="session")
def model(user_folder: Path) -> DigitsTorch:
    """A warm model with the built-in weights."""
    model = DigitsTorch()
    model.warm()
    return model


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits example's pictures, ``0.png`` to ``9.png`` and ``chalk.jpg``."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


def call(path: Path | None = None, **more: Any) -> dict[str, Any]:
    """Return the keyword arguments that modelserve gives for one call, with an upload where there is a path."""
    arguments = {"top_k": 3, "accept": "application/json", **more}
    if path:
        arguments["image"] = UploadedFile("image", str(path), "image/png", path.name, path.stat().st_size)
    return arguments
