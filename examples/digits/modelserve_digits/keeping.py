"""Where weights are kept for the user, how they get there whole, and how arrays are read that may be anything."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUILT_IN", "data_folder", "new_name", "read_arrays", "write_whole"]

BUILT_IN = "built-in"
"""What the weights are called that nobody has trained anew."""


def data_folder(package: str) -> Path:
    """Return the user's folder for the data of a package, as the XDG base directory specification has it."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / package


def new_name() -> str:
    """Return a name for weights that have just been trained: the time in UTC, such as ``2026-11-21T12:03:54.120Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_arrays(file: str | Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return these arrays of an npz file; nothing in it is unpickled.

    Raises:
        OSError: There is no such file, or it cannot be read.
        ValueError: It is no npz file, is damaged, or has no such array.
    """
    # Opened here: of a damaged file numpy would leave its own open.
    with open(file, "rb") as opened:
        try:
            with np.load(opened, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names}
        # numpy and the zip file raise all of these for damaged or foreign files.
        except (EOFError, KeyError, MemoryError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"no npz file with these arrays: {type(error).__name__}") from error


def write_whole(file: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let ``write`` fill a file: who reads it meanwhile, or after a crash, finds all of the old one or of the new one.

    Raises:
        OSError: The folder cannot be written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(descriptor, "wb") as new:
            write(new)
            new.flush()
            os.fsync(new.fileno())
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
