"""Sees to it that a folder whose name others may know is there and is ours alone.

The system's temporary folder is everybody's, and is tidied up now and then. So what we made there may be gone by the
time it is needed again, and somebody else may have put a folder or a link of the same name in its place.
"""

from __future__ import annotations

import contextlib
import os
import stat

__all__ = ["make_private"]


def make_private(path: str) -> None:
    """Make a folder that only this user may enter, where it is not there.

    Raises:
        OSError: It cannot be made, or what is there is another user's, open to others, or no folder.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(0, "it is not a folder of this user alone (mode 700)", path)
