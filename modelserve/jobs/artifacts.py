"""The files that the author of one job keeps: listed page by page, and opened one at a time.

    artifacts/plots/loss.png  <->  "plots/loss.png"        artifacts/caf<byte E9>  <->  "caf%E9"

A file is one of them if it is a regular file with one name, below folders that are no links: what a training links to
lies outside of its job. A byte that is no UTF-8 is written as a percent sign and two digits; where a name has such a
sign and digits itself, 25 is put between them, so that no two files are shown alike. Everything here blocks.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelserve.errors import NotFound
from modelserve.jobs.settling import MOST_LEVELS
from modelserve.regular_files import open_below, open_folder, open_regular, opened

__all__ = ["Artifact", "Artifacts", "Page"]

# Bytes that are no UTF-8, as Python decodes them with surrogateescape; a sign that looks as if it stood for one; and
# both as they are shown.
_NO_TEXT = re.compile("[\udc80-\udcff]")
_ALIKE = re.compile("%(?=(?:25)*[89A-F][0-9A-F])")
_SHOWN = re.compile(rb"%(?:25((?:25)*[89A-F][0-9A-F])|([89A-F][0-9A-F]))")


@dataclass(frozen=True)
class Artifact:
    """One file: its name below the folder of artifacts, and its bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Page:
    """Some files in the order of their names, and the cursor of the next page, "" where there is none."""

    artifacts: list[Artifact]
    cursor: str


class Artifacts:
    """The artifacts of one job.

    Args:
        folder: Where they lie; it need not be there. The job's process can replace it and the folder it lies in.
    """

    def __init__(self, folder: Path) -> None:
        self._job = folder.parent
        self._name = folder.name

    def page(self, limit: int, cursor: str = "") -> Page:
        """Return the first files behind a cursor, "" for the beginning."""
        try:
            top = self._open()
        except OSError:  # there is none, or something else stands in its place
            return Page([], "")
        with opened(top):
            names = heapq.nsmallest(limit + 1, (name for name in _walk(top) if name > cursor))
            found = [Artifact(name, size) for name in names[:limit] if (size := _size(top, name)) is not None]
        return Page(found, names[limit - 1] if len(names) > limit else "")

    def open(self, name: str) -> int:
        """Return the descriptor of one of them; the caller closes it.

        Raises:
            NotFound: There is none of that name.
        """
        try:
            with opened(self._open()) as top:
                return _open_one(top, name)
        except (OSError, ValueError) as error:
            raise NotFound("The job has no artifact of this name.") from error

    def _open(self) -> int:
        with opened(open_folder(self._job)) as job:
            return open_folder(self._name, folder=job)


def _walk(top: int) -> Iterator[str]:
    """Yield the names of all regular files, as they are shown, in no order; links are none."""
    folders: list[tuple[bytes, ...]] = [()]
    while folders:
        place = folders.pop()
        try:
            end = open_below(top, place)
        except OSError:  # a training writes and removes while this looks
            continue
        with opened(end), os.scandir(end) as entries:
            for entry in entries:
                path = (*place, os.fsencode(entry.name))
                if entry.is_dir(follow_symlinks=False):
                    folders.extend([path] if len(path) < MOST_LEVELS else [])
                elif entry.is_file(follow_symlinks=False):
                    yield _shown(path)


def _shown(path: tuple[bytes, ...]) -> str:
    text = _ALIKE.sub("%25", b"/".join(path).decode("utf-8", "surrogateescape"))
    return _NO_TEXT.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", text)


def _size(top: int, name: str) -> int | None:
    try:
        with opened(_open_one(top, name)) as end:
            return os.fstat(end).st_size
    except OSError:
        return None


def _open_one(top: int, name: str) -> int:
    """Open a file by the name that is shown, else by its name as it is."""
    plain = name.encode("utf-8", "surrogateescape")
    meant = _SHOWN.sub(_meant, plain)
    try:
        return _open_path(top, meant)
    except OSError:
        if meant == plain:
            raise
        return _open_path(top, plain)


def _meant(shown: re.Match[bytes]) -> bytes:
    return b"%" + shown[1] if shown[2] is None else bytes([int(shown[2], 16)])


def _open_path(top: int, path: bytes) -> int:
    *folders, name = path.split(b"/")
    if not {b"", b".", b".."}.isdisjoint((*folders, name)):
        raise FileNotFoundError(path)
    with opened(open_below(top, folders)) as folder:
        end = open_regular(name, folder=folder)
    if os.fstat(end).st_nlink != 1:
        os.close(end)
        raise PermissionError(path)
    return end
