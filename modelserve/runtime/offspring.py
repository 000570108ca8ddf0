"""Ends what a worker has started and no signal to its process group reaches, such as a child in a session of its own.

    launch: the worker's folder in its environment --> inherited by all it starts --> kill_offspring(folder)

A child that throws its environment away is not found. It reads /proc, so it takes some microseconds for each process
of the machine, and is no work for an event loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal

__all__ = ["MARK", "kill_offspring"]

logger = logging.getLogger(__name__)

MARK = "_MODELSERVE_SCRATCH"
"""The variable that names the worker's temporary folder, which no other worker has ever had."""

# A process may start another while it is looked for; so many times it is looked again.
ROUNDS = 5


def kill_offspring(folder: str) -> None:
    """Kill every process that was started, directly or not, by a worker whose folder is this one or lies in it.

    A worker itself counts, if it lives. What cannot be read or ended is left.
    """
    killed: set[int] = set()
    for _ in range(ROUNDS):
        found = {pid for pid in _pids() if _killed(pid, folder)} - killed
        if not found:
            break
        killed |= found
    if killed:
        logger.info("ended %d process(es) that a worker had left behind", len(killed))


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _killed(pid: int, folder: str) -> bool:
    """Kill a process if it bears the mark; it is held meanwhile, so that no other can have its number."""
    with contextlib.suppress(OSError):  # it has gone, or is another user's
        held = os.pidfd_open(pid)
        try:
            if _is_marked(pid, folder):
                signal.pidfd_send_signal(held, signal.SIGKILL)
                return True
        finally:
            os.close(held)
    return False


def _is_marked(pid: int, folder: str) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as file:
        variables = file.read().split(b"\0")  # of a process that is dead and not yet buried, there are none
    mark = os.fsencode(f"{MARK}={folder}")
    return any(each == mark or each.startswith(mark + b"/") for each in variables)
