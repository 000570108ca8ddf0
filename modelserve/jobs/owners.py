"""Who owns the jobs that run: each server has an id, and holds a lock on a file of that name while it lives.

The kernel lets go of the lock however the server ends. So another server of the same data folder knows at once that
this one has gone, without waiting for its heartbeat to grow old.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid as uuids
from pathlib import Path
from types import TracebackType

__all__ = ["Owner"]

# A lock file is kept for this long after its server: by then all of its jobs have been found by their heartbeat too.
KEPT_S = 24 * 3600.0


class Owner:
    """One server, as an owner of jobs, for as long as the block lasts.

        with Owner(data_dir) as owner:
            owner.id            32 hexadecimal digits, new for each start

    Args:
        data_dir: The data folder; the lock files are in its ``servers``.
    """

    def __init__(self, data_dir: Path) -> None:
        self.id = uuids.uuid4().hex
        self._folder = data_dir / "servers"
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Owner:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        lock = os.open(self._path(self.id), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._held.callback(os.close, lock)
        with contextlib.suppress(OSError):  # a file system without locks: others go by the heartbeat
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The file stays: it tells the next start that this server has gone, should any job of it be running still.
        self._held.close()

    def is_dead(self, id: str) -> bool | None:
        """Tell whether a server has gone: True or False by its lock, None where this data folder does not know it."""
        try:
            with open(self._path(id), "rb") as file:
                # Shared, so that two servers that look at the same time do not take each other for the owner.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.lock"

    def _sweep(self) -> None:
        for path in self._folder.glob("*.lock"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - KEPT_S and self.is_dead(path.stem):
                    path.unlink()
