"""The private folder of one run of the server, and the removal of those that killed runs left behind.

A run holds a lock on its folder for as long as it lives, and the kernel lets go of it however the run ends. So a folder
of ours that nobody has locked is a leftover, with no process id that another process may have by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Iterator

from modelserve.removal import remove_tree
from modelserve.runtime.offspring import kill_offspring

__all__ = ["PREFIX", "hold_again", "run_folder", "sweep"]

logger = logging.getLogger(__name__)

PREFIX = "modelserve-run-"

# What tempfile.mkdtemp appends; nothing else that begins like a folder of ours is ever touched.
_NAME = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}")


@contextlib.contextmanager
def run_folder(parent: str) -> Iterator[str]:
    """Make a folder that no other user can read, held by this process; it is removed in the end.

    Args:
        parent: Where to make it, "" for the system's temporary folder.

    Raises:
        OSError: None can be made there.
    """
    path, lock = _make(parent)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            remove_tree(path)
        os.close(lock)


def hold_again(path: str) -> int:
    """Lock the folder of a run where nobody does, since it was swept away and somebody has made it again.

    Else the next start would take it for a leftover, and end the workers that are in it.

    Returns:
        A descriptor that holds the lock until it is closed; -1 where it was held.

    Raises:
        OSError: The folder is not there.
    """
    end = _open(path)
    try:
        _lock(end)
    except OSError:  # held by this run, or in a file system without locks
        os.close(end)
        return -1
    return end


def sweep(parent: str) -> list[str]:
    """Remove the folders that killed runs of this user left in ``parent``, and return their paths.

    What their workers had started and still runs is ended.

    A folder of a run that lives, of another user, or whose name we would not give is left alone; links are never
    followed. What cannot be read or removed is left as well: a start must not fail for it. Blocks while it removes.
    """
    try:
        parent = parent or tempfile.gettempdir()  # where there is none, that is an OSError too
        names = sorted(name for name in os.listdir(parent) if _NAME.fullmatch(name))
    except OSError:
        return []
    swept = [os.path.join(parent, name) for name in names if _swept(os.path.join(parent, name))]
    if swept:
        logger.info("removed %d temporary folders that killed runs had left in %s", len(swept), parent)
    return swept


def _make(parent: str) -> tuple[str, int]:
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX, dir=parent or None)
        # Another start may sweep it in the moment before it is locked; then a new one is made.
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            end = _open(path)
            try:
                _lock(end)
            except BlockingIOError:
                os.close(end)
                raise
            except OSError:  # a file system without locks: the folder serves, but no later start can sweep it
                return path, end
            if os.path.exists(path):
                return path, end
            os.close(end)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lock(end: int) -> None:
    fcntl.flock(end, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _swept(path: str) -> bool:
    """Remove a folder of ours that nobody has locked; tell whether it is gone."""
    try:
        if os.lstat(path).st_uid != os.geteuid():
            return False
        end = _open(path)  # not a folder, or a link to one: an error
    except OSError:
        return False
    try:
        _lock(end)
        kill_offspring(path)
        remove_tree(path)
    except OSError:  # its run lives, or something of it cannot be removed
        return False
    finally:
        os.close(end)
    return not os.path.lexists(path)
