"""Modes that wait, die, or upset the process they run in."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from .asked import Asked, Mode

__all__ = ["PROCESS_MODES"]

_MEGABYTE = 1024 * 1024
_leaked: list[bytes] = []


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
    # Backtracks for longer than any test, inside one C call that holds the interpreter lock.
    re.match("(a+)+$", "a" * 40 + "b")


def _segv(asked: Asked) -> None:
    ctypes.string_at(0)


def _exit0(asked: Asked) -> None:
    os._exit(0)


def _exit3(asked: Asked) -> None:
    os._exit(3)


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


def _fork(asked: Asked) -> dict[str, int]:
    """Leave a grandchild that sleeps n seconds (1000), and answer its pid."""
    return {"grandchild": subprocess.Popen(["sleep", str(asked.number(1000))]).pid}


def _thread(asked: Asked) -> dict[str, int | None]:
    """Leave a thread that is no daemon and sleeps n seconds (1000)."""
    thread = threading.Thread(target=time.sleep, args=(asked.number(1000),), name="chaos")
    thread.start()
    return {"thread": thread.native_id}


def _leak(asked: Asked) -> dict[str, int]:
    """Keep n more megabytes (1) for ever."""
    _leaked.append(os.urandom(1024) * (int(asked.number(1)) * 1024))
    return {"leaked_mb": sum(map(len, _leaked)) // _MEGABYTE}


def _stdout_flood(asked: Asked) -> dict[str, bool]:
    """Write n megabytes (1) of bytes that are no text to standard output and to standard error each."""
    block = bytes(range(256)) * 256
    for _ in range(int(asked.number(1)) * _MEGABYTE // len(block)):
        os.write(1, block)
        os.write(2, block)
    return {"flooded": True}


def _close_fd(asked: Asked) -> dict[str, bool]:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    return {"closed": True}


def _chdir(asked: Asked) -> dict[str, str]:
    os.chdir(asked.text or "/")
    return {"cwd": os.getcwd()}


def _env(asked: Asked) -> dict[str, int]:
    os.environ.clear()
    os.environ.update(HOME="/nonexistent", TMPDIR="/nonexistent", PATH="")
    return {"variables": len(os.environ)}


def _signals(asked: Asked) -> dict[str, bool]:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    return {"ignored": True}


def _recursion(asked: Asked) -> dict[str, int]:
    sys.setrecursionlimit(int(asked.number(1_000_000)))
    return {"limit": sys.getrecursionlimit()}


def _setsid(asked: Asked) -> dict[str, int]:
    # A process that leads its group already may not; then it has a session or group of its own anyway.
    if os.getpgid(0) != os.getpid():
        os.setsid()
    return {"session": os.getsid(0)}


def _state(asked: Asked) -> dict[str, Any]:
    """Answer what the process is like: for tests of pinning, of the environment and of what a worker imports."""
    with open("/proc/self/oom_score_adj") as score:
        oom_score_adj = int(score.read())
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "cwd": os.getcwd(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "environ": dict(os.environ),
        "modules": sorted(sys.modules),
        "main_thread": threading.current_thread() is threading.main_thread(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
        "oom_score_adj": oom_score_adj,
    }


PROCESS_MODES: dict[str, Mode] = {
    "sleep": _sleep,
    "spin": _spin,
    "spin_c": _spin_c,
    "segv": _segv,
    "exit0": _exit0,
    "exit3": _exit3,
    "kill": _kill,
    "stop": _stop,
    "oom": _oom,
    "fork": _fork,
    "thread": _thread,
    "leak": _leak,
    "stdout_flood": _stdout_flood,
    "close_fd": _close_fd,
    "chdir": _chdir,
    "env": _env,
    "signals": _signals,
    "recursion": _recursion,
    "setsid": _setsid,
    "state": _state,
}
"""Mode names and what they do."""
