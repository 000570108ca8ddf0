"""Removes a folder with all that is in it, however deep, wide or forbidding a model has made it.

    a/b/c/... -> b is moved up beside a and emptied, then c, then ...      two open folders, whatever the depth

``shutil.rmtree`` calls itself for each level, with a descriptor for each: a thousand levels end it with a
RecursionError, which is no OSError, or with no descriptors for anybody. No path is put together here, and no link is
followed: a folder is what was opened as one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

__all__ = ["remove_tree"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a folder and all that is in it; blocks for as long as the system takes.

    Where something cannot be removed, all else is.

    Raises:
        OSError: Something could not be removed, or there is no such folder, or a link in its place.
    """
    root = _opened(os.fspath(path), None)
    try:
        removal = _Removal(root)
        removal.empty()
    finally:
        os.close(root)
    if removal.error is not None:
        raise removal.error
    os.rmdir(path)


class _Removal:
    """Empties one open folder.

    Attributes:
        error: Why the first of what is left could not be removed.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._left: set[str] = set()
        self.error: OSError | None = None

    def empty(self) -> None:
        """Remove all that can be removed; what is moved up in one pass is emptied in the next."""
        while folders := [name for name in self._clear(self._root) if name not in self._left]:
            for name in folders:
                self._remove_folder(name)

    def _remove_folder(self, name: str) -> None:
        try:
            folder = _opened(name, self._root)
            try:
                for inner in self._clear(folder):
                    self._move_up(inner, folder)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=self._root)
        except FileNotFoundError:
            pass  # somebody else has removed it
        except OSError as error:
            self._note(error)
            self._left.add(name)

    def _move_up(self, name: str, folder: int) -> None:
        new = secrets.token_hex(16)
        try:
            try:
                os.rename(name, new, src_dir_fd=folder, dst_dir_fd=self._root)
            except PermissionError:  # it is changed by that, and may be closed to its owner
                os.close(_opened(name, folder))
                os.rename(name, new, src_dir_fd=folder, dst_dir_fd=self._root)
        except FileNotFoundError:
            pass
        except OSError as error:  # somebody has mounted something there
            self._note(error)

    def _clear(self, folder: int) -> list[str]:
        """Remove what is no folder from an open one; return the names of the folders in it."""
        folders = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                try:
                    os.unlink(entry.name, dir_fd=folder)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    self._note(error)
        return folders

    def _note(self, error: OSError) -> None:
        self.error = self.error or error


def _opened(path: str, parent: int | None) -> int:
    """Open a folder whose entries we may remove, as far as its owner can have that."""
    try:
        folder = os.open(path, _FOLDER, dir_fd=parent)
    except PermissionError:
        _permit(path, parent)
        return os.open(path, _FOLDER, dir_fd=parent)
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        with contextlib.suppress(OSError):  # another user's; what that hinders is told of when it does
            os.fchmod(folder, mode | stat.S_IRWXU)
    return folder


def _permit(path: str, parent: int | None) -> None:
    """Let its owner, who may be us, into a folder that cannot be opened; a link is not followed."""
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{place}", stat.S_IRWXU)
    finally:
        os.close(place)
