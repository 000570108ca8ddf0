"""Opens files in folders where a model can put anything: links, pipes and devices are never read, nor written through.

    path -> open, without following a link and without waiting -> what is open is looked at -> descriptor

Looking at a path first and opening it then would leave the time for another file to be put in its place. Everything
here blocks, and raises ``OSError``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

__all__ = [
    "append",
    "create",
    "open_below",
    "open_folder",
    "open_regular",
    "opened",
    "read_regular",
    "remove_link",
    "write_anew",
]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Name = str | bytes | os.PathLike[str]


def open_regular(path: Name, *, folder: int | None = None) -> int:
    """Return the descriptor of a regular file, opened for reading; the caller closes it.

    Args:
        path: Its path. Only the last part must be no link: the caller knows what the folders are.
        folder: The open folder that the path begins at.
    """
    end = os.open(path, _READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(end).st_mode):
        os.close(end)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return end


def read_regular(path: Name) -> bytes:
    """Return what a regular file holds, whole."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def open_folder(path: Name, *, folder: int | None = None) -> int:
    """Return the descriptor of a folder that is no link; the caller closes it."""
    return os.open(path, _READ | os.O_DIRECTORY, dir_fd=folder)


def open_below(folder: int, names: Sequence[bytes]) -> int:
    """Return the descriptor of a folder some levels below another, of which none is a link; the caller closes it."""
    end = os.dup(folder)
    try:
        for name in names:
            below = open_folder(name, folder=end)
            os.close(end)
            end = below
    except BaseException:
        os.close(end)
        raise
    return end


@contextlib.contextmanager
def opened(end: int) -> Iterator[int]:
    """Yield a descriptor, which is closed when the block is left."""
    try:
        yield end
    finally:
        os.close(end)


def create(path: Name) -> int:
    """Return the descriptor of a new, empty file of this user alone, in place of what was there; the caller closes it.

    What was there may be a link: it is removed, and what it led to is left alone.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def write_anew(path: Name, data: bytes) -> None:
    """Write a new file in place of what was there, as ``create`` does."""
    with os.fdopen(create(path), "wb") as file:
        file.write(data)


def append(path: Name, data: bytes) -> None:
    """Write behind what a regular file has, which is made where it is not there."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "ab") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        file.write(data)


def remove_link(path: Name) -> bool:
    """Remove a link where a folder should be, and tell whether there was one."""
    try:
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            return False
        os.unlink(path)
    except OSError:
        return False
    return True
