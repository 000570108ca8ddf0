"""A temporary folder of a command, or a sentence where there can be none, as on a read-only file system."""

from __future__ import annotations

import tempfile

from modelserve.errors import SettingsError

__all__ = ["temporary_folder"]


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder; it is removed where the block of its ``with`` is left.

    Raises:
        SettingsError: None can be made.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="modelserve-")
    except OSError as error:
        raise SettingsError(f"No temporary folder can be made: {error.strerror}; set TMPDIR to one.") from error
