"""Ties a worker's life to the server's, by the kernel and not by code that must get to run.

Each worker holds the read end of a pipe whose write end only the server has. The read end is set to send SIGKILL to
the worker's whole process group when the pipe's other side closes, which the kernel does however the server ends. It
works while the worker is stuck in C code with the interpreter lock held, and takes the worker's children along, which
the parent-death signal of prctl(2) does not; nor does it depend on which of the server's threads started the worker.
See F_SETSIG and F_SETOWN in fcntl(2), and O_ASYNC in open(2).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

__all__ = ["hold"]

# From <fcntl.h> on Linux; Python's fcntl module does not name it before 3.13.
F_SETSIG = 10


def hold(end: int) -> None:
    """Make the calling process the leader of a new session that is killed once the other end is closed.

    Call it first thing in the worker, and keep the end open. If the server is already gone, the process ends here.
    """
    os.setsid()
    fcntl.fcntl(end, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(end, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(end, 0)
    if poll.poll(0):  # POLLHUP: closed before the signal was armed
        os._exit(1)
