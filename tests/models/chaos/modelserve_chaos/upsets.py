"""Modes that upset the process they run in, or leave something behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from .asked import Asked, Mode

__all__ = ["UPSET_MODES"]

_MEGABYTE = 1024 * 1024
_leaked: list[bytes] = []


def _fork(asked: Asked) -> dict[str, int]:
    """Leave a grandchild that sleeps n seconds (1000), and answer its pid."""
    return {"grandchild": subprocess.Popen(["sleep", str(asked.number(1000))]).pid}


def _daemon(asked: Asked) -> dict[str, int]:
    """Leave a grandchild as ``fork`` does, in a session of its own, where no signal to the worker's group finds it."""
    return {"grandchild": subprocess.Popen(["sleep", str(asked.number(1000))], start_new_session=True).pid}


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


def _close_all(asked: Asked) -> dict[str, bool]:
    """Close every descriptor but the standard ones: the worker's channel too."""
    os.closerange(3, 65_536)
    return {"closed": True}


def _litter(asked: Asked) -> dict[str, list[str]]:
    """Leave n files (3) in the temporary folder, and answer their paths."""
    paths = [tempfile.mkstemp(prefix="chaos-litter-") for _ in range(int(asked.number(3)))]
    for descriptor, _ in paths:
        os.close(descriptor)
    return {"files": [path for _, path in paths]}


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


def _no_death_signal(asked: Asked) -> dict[str, int]:
    """Take back the wish to be killed when the parent dies, so that something else has to end this process."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
    return {"result": ctypes.CDLL(None).prctl(set_parent_death_signal, 0, 0, 0, 0)}


def _event_loop(asked: Asked) -> dict[str, str]:
    """Run an event loop of its own, as a model does that calls an asynchronous library."""
    import asyncio  # here, so that a test can tell that the worker itself loads none

    async def later() -> str:
        await asyncio.sleep(asked.number(0))
        return asked.text

    return {"text": asyncio.run(later())}


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


UPSET_MODES: dict[str, Mode] = {
    "fork": _fork,
    "daemon": _daemon,
    "thread": _thread,
    "leak": _leak,
    "stdout_flood": _stdout_flood,
    "close_fd": _close_fd,
    "close_all": _close_all,
    "litter": _litter,
    "chdir": _chdir,
    "env": _env,
    "signals": _signals,
    "recursion": _recursion,
    "setsid": _setsid,
    "no_death_signal": _no_death_signal,
    "event_loop": _event_loop,
    "state": _state,
}
"""Mode names and what they do."""
