"""Answers 4 MiB of bytes: from memory, and from a file that the server sends by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelserve.v2.files import OutputFile

__all__ = ["SIZE_BYTES", "Disk", "Memory"]

SIZE_BYTES = 4 * 1024**2


class Memory:
    """Answers the bytes."""

    def __init__(self) -> None:
        self._blob = bytes(SIZE_BYTES)

    def get_metadata(self) -> dict[str, str]:
        """Name the model."""
        return {"name": "blob", "description": "Answers 4 MiB."}

    def get_predict_args(self) -> dict[str, Any]:
        """Declare no argument."""
        return {}

    def predict(self) -> Any:
        """Return the bytes."""
        return self._blob


class Disk(Memory):
    """Answers a file that holds them."""

    def __init__(self) -> None:
        super().__init__()
        # In the working directory, which the bench removes. A file in the worker's own temporary folder would be
        # deleted once it is sent.
        self._file = Path("blob.bin").absolute()
        self._file.write_bytes(self._blob)

    def predict(self) -> Any:
        """Return the file."""
        return OutputFile(self._file)
