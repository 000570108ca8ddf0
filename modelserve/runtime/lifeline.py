"""Ties a worker's life to the server's, by the kernel and not by code that must get to run.

Each worker holds the read end of a pipe whose write end only the server has. The read end is set to send SIGKILL to
the worker's whole process group when the pipe's other side closes, which the kernel does however the server ends. It
works while the worker is stuck in C code with the interpreter lock held, and takes the worker's children along, which
the parent-death signal of prctl(2) does not; nor does it depend on which of the server's threads started the worker.
See F_SETSIG and F_SETOWN in fcntl(2), and O_ASYNC in open(2).

The server ties a worker as soon as its process is there, since what is set belongs to the open end and not to the
process that set it. So even an interpreter that hangs before it runs code of ours ends with the server. The worker
does the same once more, for a server that was killed in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal

__all__ = ["hold", "tie"]

# From <fcntl.h> on Linux; Python's fcntl module does not name it before 3.13.
F_SETSIG = 10


def tie(end: int, group: int) -> None:
    """Have a process group killed once the other side of a pipe is closed, for as long as someone holds ``end``."""
    fcntl.fcntl(end, fcntl.F_SETOWN, -group)
    fcntl.fcntl(end, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)


def hold(end: int) -> None:
    """Tie the calling process, which leads a session or is made to, to a pipe of which it has the read end.

    Call it first thing in the worker, and keep the end open. If the server is already gone, the process ends here.
    """
    with contextlib.suppress(PermissionError):  # it leads one already
        os.setsid()
    tie(end, os.getpgrp())
    poll = select.poll()
    poll.register(end, 0)
    if poll.poll(0):  # POLLHUP: closed before the signal was armed
        os._exit(1)
