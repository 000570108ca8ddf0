"""Reads a folder: each file is one row, in the order of their paths."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelserve.batch.calls import CallMaker
from modelserve.batch.rows import Row
from modelserve.errors import SettingsError

__all__ = ["Folder"]

# Each row holds a copy of its file, so few are made ahead.
CHUNK_FILES = 16


class Folder:
    """A :class:`modelserve.batch.interface.Source`: one row for each file, those of folders below it too.

    Hidden files and folders are left out, and links to folders are not followed.

    Args:
        path: The folder.
        pattern: Which files, by their names or by their paths from the folder.
        but: Files that are none of the input, such as the output of this very run.

    Raises:
        SettingsError: There is no such file, or a folder cannot be read.
    """

    def __init__(self, path: Path, pattern: str, *, but: Path) -> None:
        self.base = path
        self._names = sorted(_names(path, pattern, but.absolute()))
        if not self._names:
            raise SettingsError(f"--input {path} has no file that fits --glob {pattern}.")
        self.size = len(self._names)
        self.read = 0

    @property
    def identity(self) -> dict[str, Any]:
        """Tell it by names, sizes and times of change; few bytes, however many files there are."""
        found = hashlib.sha256()
        for name in self._names:
            about = (self.base / name).stat()
            found.update(f"{name}\0{about.st_size}\0{about.st_mtime_ns}\0".encode(errors="surrogateescape"))
        return {"files": len(self._names), "sha256": found.hexdigest()}

    def check(self, make: CallMaker) -> None:
        make.check_files()

    def rows(self, make: CallMaker, skip: int) -> Iterator[list[Row]]:
        for start in range(skip, len(self._names), CHUNK_FILES):
            names = self._names[start : start + CHUNK_FILES]
            self.read = start + len(names)
            yield [make.of_file(self.base / name, name) for name in names]


def _names(path: Path, pattern: str, but: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise SettingsError(f"--input {error.filename} cannot be read: {error.strerror}.") from error

    for folder, folders, files in os.walk(path, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(folder, name).absolute() != but]
        for name in files:
            inner = os.path.relpath(os.path.join(folder, name), path)
            fits = fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(inner, pattern)
            if fits and not name.startswith(".") and not _is_output(Path(folder, name), but):
                yield inner


def _is_output(file: Path, but: Path) -> bool:
    return file.absolute() in (but, but.with_name(but.name + ".state"))
