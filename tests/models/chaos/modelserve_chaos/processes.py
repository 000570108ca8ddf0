"""Modes that wait, that die, and that run without end."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
from typing import Any

from modelserve_chaos_kit.faults import exit_slowly, hold_interpreter

from .asked import Asked, Mode

__all__ = ["PROCESS_MODES"]

_MEGABYTE = 1024 * 1024


def _sleep(asked: Asked) -> dict[str, Any]:
    seconds = asked.number(1)
    time.sleep(seconds)
    return {"slept_s": seconds}


def _spin(asked: Asked) -> None:
    # n bounds it for tests that want an end.
    end = time.monotonic() + asked.number(float("inf"))
    while time.monotonic() < end:
        pass


def _spin_c(asked: Asked) -> None:
    hold_interpreter()


def _segv(asked: Asked) -> None:
    ctypes.string_at(0)


def _exit0(asked: Asked) -> None:
    os._exit(0)


def _exit3(asked: Asked) -> None:
    os._exit(3)


def _exit_later(asked: Asked) -> dict[str, float]:
    """Answer, and end with status 3 after n seconds (0.2), whatever runs then."""
    seconds = asked.number(0.2)
    timer = threading.Timer(seconds, os._exit, (3,))
    timer.daemon = True
    timer.start()
    return {"exits_in_s": seconds}


def _slow_exit(asked: Asked) -> dict[str, float]:
    """Ignore SIGTERM from now on, and take n seconds (2) to end; the side log has ``exiting`` and ``exited``."""
    seconds = asked.number(2)
    exit_slowly(seconds)
    return {"exit_s": seconds}


def _kill(asked: Asked) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(asked: Asked) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _oom(asked: Asked) -> None:
    """Allocate under a limit of n megabytes (64) above what the process has mapped, until MemoryError."""
    with open("/proc/self/statm") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + int(asked.number(64)) * _MEGABYTE, before[1]))
    blocks = []
    try:
        while True:
            blocks.append(b"x" * _MEGABYTE)
    finally:
        blocks.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


PROCESS_MODES: dict[str, Mode] = {
    "sleep": _sleep,
    "spin": _spin,
    "spin_c": _spin_c,
    "segv": _segv,
    "exit0": _exit0,
    "exit3": _exit3,
    "exit_later": _exit_later,
    "slow_exit": _slow_exit,
    "kill": _kill,
    "stop": _stop,
    "oom": _oom,
}
"""Mode names and what they do."""
