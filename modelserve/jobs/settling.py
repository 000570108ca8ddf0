"""Has the system write files to the disk, so that they survive a loss of power. Everything here blocks.

    a hundred files -> fsync of each        more -> syncfs: all that waits for this file system, in one go

A model may leave any number of files, and folders of any depth: nothing here calls itself, or holds a folder for each
level.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from modelserve.regular_files import open_below, open_folder, open_regular, opened

__all__ = ["MOST_LEVELS", "settle", "settle_file", "settle_tree"]

# A folder that lies deeper is not looked into; a path could not be longer either.
MOST_LEVELS = 100

# An fsync takes some milliseconds on an ordinary disk: so many are done one by one.
MOST_SINGLE = 100


def settle(path: Path) -> None:
    """Have a file, or a folder's list of names, written."""
    end = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with opened(end):
        os.fsync(end)


def settle_file(path: Path | str, folder: int | None = None) -> None:
    """Settle a file that may have gone; what is none, such as a link or a pipe, is nothing to be kept."""
    try:
        end = open_regular(path, folder=folder)
    except OSError:
        return
    with opened(end):
        os.fsync(end)


def settle_tree(path: Path) -> None:
    """Settle all files below a folder, and the folders; nothing where there is none, or something else in its place."""
    with contextlib.ExitStack() as stack:
        try:
            top = stack.enter_context(opened(open_folder(path)))
        except OSError:
            return
        for number, _ in enumerate(_settled(top), start=1):
            if number == MOST_SINGLE:
                _settle_file_system(top)
                return


def _settled(top: int) -> Iterator[None]:
    """Settle one file or folder after the other, each before it is yielded."""
    places: list[tuple[bytes, ...]] = [()]
    while places:
        place = places.pop()
        try:
            folder = open_below(top, place)
        except OSError:  # somebody writes and removes while this looks
            continue
        with opened(folder):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        places.extend([(*place, os.fsencode(entry.name))] if len(place) < MOST_LEVELS else [])
                    elif entry.is_file(follow_symlinks=False):
                        settle_file(entry.name, folder)
                        yield
            os.fsync(folder)
        yield


def _settle_file_system(folder: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.syncfs(folder) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
