"""Removes what workers leave behind: ends what they had started, and then deletes their folders.

    a dead worker's folder -> put -> [killing: kill_offspring] -> [removing: remove_tree] -> gone

Either has a thread of its own, so that the children of the next do not live on while many files are deleted, and
neither is work for an event loop. They are started before the first worker is, so nothing has to be started when one is
buried. A folder that cannot be removed is tried again with the next, and at the end.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from queue import SimpleQueue

from modelserve.removal import remove_tree
from modelserve.runtime.offspring import kill_offspring
from modelserve.supervised import Supervised, Supervisor

__all__ = ["Remains"]

logger = logging.getLogger(__name__)

# How long the end of a server waits for what is still to be removed.
CLOSE_S = 10.0


class Remains:
    """What the workers of one backend leave behind.

    Args:
        supervisor: Keeps its threads going.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._dead = SimpleQueue[str | None]()
        self._removable = SimpleQueue[str | None]()
        self._stuck: list[str] = []
        self._threads = [supervisor.thread("killing", self._kill), supervisor.thread("removing", self._remove)]
        self._started: list[Supervised] = []

    def start(self) -> None:
        """Start its threads, where they are not.

        Raises:
            OSError: There is no room for a thread.
        """
        try:
            for thread in self._threads[len(self._started) :]:
                thread.start()
                self._started.append(thread)
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, "no thread can be started") from error

    def put(self, folder: str) -> None:
        """Remove the folder of a worker that has ended, soon; never blocks, and never fails."""
        self._dead.put(folder)

    def close(self) -> None:
        """Wait until all is removed, but not for ever."""
        self._dead.put(None)
        until_s = time.monotonic() + CLOSE_S
        for thread in self._started:
            if not thread.close(max(0.0, until_s - time.monotonic())):
                logger.warning("what workers left behind is not yet removed")
                return

    def _kill(self) -> None:
        while (folder := self._dead.get()) is not None:
            try:
                kill_offspring(folder)
            finally:
                self._removable.put(folder)
        self._removable.put(None)

    def _remove(self) -> None:
        while (folder := self._removable.get()) is not None:
            self._stuck = [left for left in [*self._stuck, folder] if not _is_removed(left)]


def _is_removed(folder: str) -> bool:
    try:
        remove_tree(folder)
    except FileNotFoundError:
        return not os.path.lexists(folder)
    except OSError as error:
        logger.warning("the folder of a worker cannot be removed now: %s", error)
        return False
    return True
