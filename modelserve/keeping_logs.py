"""Keeps the logs of a server's deployments while it runs: in memory, and in files below the data folder.

settings -> DATA_DIR/logs/, or logs-2 where another server has that -> KeptLogs, as a handler of our loggers
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelserve.errors import StoreUnreachable
from modelserve.jobs.data_folder import data_folder
from modelserve.logs.kept import KeptLogs
from modelserve.settings import Settings
from modelserve.supervised import Supervisor

__all__ = ["keep_logs"]

logger = logging.getLogger(__name__)

# So many servers may have their files below one data folder; a further one has none.
SERVERS = 100


@contextlib.contextmanager
def keep_logs(settings: Settings, names: Iterable[str], supervisor: Supervisor) -> Iterator[KeptLogs]:
    """Keep what the log says of each deployment, until the block is left.

    Where no file can be written, that is a warning: the last lines are kept in memory all the same.
    """
    with contextlib.ExitStack() as stack:
        kept = KeptLogs(names, lines=settings.log_lines, folder=_folder(stack, settings.data_dir))
        kept.write_aside(supervisor)
        stack.callback(kept.close)
        ours = logging.getLogger("modelserve")
        ours.addHandler(kept)
        stack.callback(ours.removeHandler, kept)
        yield kept


def _folder(stack: contextlib.ExitStack, data_dir: str) -> Path | None:
    """Return the first folder that no other server has; it is ours as long as the stack."""
    try:
        parent = data_folder(data_dir)
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, SERVERS + 1):
            folder = parent / ("logs" if number == 1 else f"logs-{number}")
            folder.mkdir(mode=0o700, exist_ok=True)
            if _is_locked(stack, folder / "lock"):
                return folder
    except OSError as error:
        logger.warning("no log files of the deployments can be kept in %s: %s", parent, error.strerror)
    except StoreUnreachable:
        logger.warning("no log files of the deployments can be kept: this user has no home, and there is no data_dir")
    return None


def _is_locked(stack: contextlib.ExitStack, path: Path) -> bool:
    """Lock a file, and tell whether that succeeded: a server that has gone holds no lock."""
    end = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(end, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(end)
        return False
    stack.callback(os.close, end)
    return True
