"""Gives the calling process less of the processor than others, for trainings beside predictions."""

from __future__ import annotations

import contextlib
import os
import time

__all__ = ["NICE", "lower"]

# A tenth of the weight of other processes; see sched(7).
NICE = 10

# The kernel lets users change an autogroup ten times a second, all of them together.
TRIES = 5
AGAIN_S = 0.1


def lower() -> None:
    """Lower this process, its threads and all it starts from now on; what the system does not allow stays as it is.

    Where the kernel weighs sessions against each other (autogroups), a priority counts only within a session, and a
    worker leads one of its own: so the session is lowered too.
    """
    for thread in map(int, os.listdir("/proc/self/task")):
        with contextlib.suppress(OSError):  # it has ended, or it may not
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, NICE)
    for _ in range(TRIES):
        try:
            with open("/proc/self/autogroup", "w") as file:
                file.write(str(NICE))
            return
        except BlockingIOError:
            time.sleep(AGAIN_S)
        except OSError:  # there are none
            return
