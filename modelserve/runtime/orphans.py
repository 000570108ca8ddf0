"""Reaps processes whose parents have ended, where the server is the first process of a container.

    a model's child starts a process and ends -> the kernel gives it to the first process -> it ends -> reaped here

Elsewhere that is the business of the system's own first process. Unreaped, each would hold a process id for ever, of
which a container may have few.
"""

from __future__ import annotations

import contextlib
import os
import threading

from modelserve.supervised import Supervisor

__all__ = ["Orphans"]

# The server itself waits for those that it has started at once. Who is dead and still there at the next look has
# nobody who waits.
LOOK_S = 5.0


class Orphans:
    """Reaps on a thread of its own, which there is only where it is needed.

    Args:
        supervisor: Keeps the thread going.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._is_over = threading.Event()
        self._dead: set[int] = set()
        self._thread = supervisor.thread("orphans", self._run) if os.getpid() == 1 else None

    def start(self) -> None:
        """Start to reap."""
        if self._thread is not None:
            self._thread.start()

    def close(self) -> None:
        """Reap no more: what is left ends with the container."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.close()

    def _run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            before, self._dead = self._dead, dead_children()
            for pid in before & self._dead:
                with contextlib.suppress(ChildProcessError):  # it was waited for just now
                    os.waitpid(pid, os.WNOHANG)


def dead_children() -> set[int]:
    """Return the children of this process that have ended and are not reaped."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and _is_dead_child(name)}


def _is_dead_child(name: str) -> bool:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:  # it has gone
        return False
    return state == b"Z" and int(parent) == os.getpid()
