"""Modes of ``train``: trainings that tell of themselves, that heed or do not, that die, and that leave things behind.

``child`` is at the top level of this module, so that a process started by spawn finds it.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from typing import Any

from modelserve_chaos_kit.side_log import note

from modelserve.v2 import progress

from .asked import Asked, Mode

__all__ = ["TRAIN_MODES", "child"]

_MEGABYTE = 1024 * 1024


def _ok(asked: Asked) -> dict[str, Any]:
    return {"mode": asked.mode, "n": asked.n, "text": asked.text}


def _sleep(asked: Asked) -> dict[str, float]:
    seconds = asked.number(1)
    time.sleep(seconds)
    return {"slept_s": seconds}


def _heed(asked: Asked) -> dict[str, bool]:
    """Run for n seconds (60), or until it is cancelled."""
    end = time.monotonic() + asked.number(60)
    while time.monotonic() < end and not progress.cancelled:
        time.sleep(0.01)
    return {"heeded": progress.cancelled}


def _spin(asked: Asked) -> dict[str, float]:
    """Keep a processor busy for n seconds (1), in Python."""
    seconds = asked.number(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return {"spun_s": seconds}


def _steps(asked: Asked) -> dict[str, int]:
    """Report n steps (10), as fast as they come."""
    count = int(asked.number(10))
    for step in range(count):
        progress.log(step=step, loss=1 / (step + 1))
        progress((step + 1) / count)
    return {"steps": count}


def _exit3(asked: Asked) -> None:
    os._exit(3)


def _segv(asked: Asked) -> None:
    ctypes.string_at(0)


def _oom(asked: Asked) -> None:
    raise MemoryError("the training asked for too much")


def _raise(asked: Asked) -> None:
    raise RuntimeError(asked.text or "password=hunter2")


def _sysexit(asked: Asked) -> None:
    sys.exit(0)


def _kbint(asked: Asked) -> None:
    raise KeyboardInterrupt


def _deadly(asked: Asked) -> None:
    """Raise an exception that ends whoever looks at it."""

    class DeadlyError(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(0)

    raise DeadlyError


def _big(asked: Asked) -> dict[str, str]:
    return {"text": "x" * (int(asked.number(1)) * _MEGABYTE)}


def _notjson(asked: Asked) -> dict[str, Any]:
    return {"good": 1, "deep": [{"bad": object()}]}


def child(seconds: float) -> None:
    """Sleep, in a process that a training has started; the side log has ``child`` with its pid."""
    note("child")
    time.sleep(seconds)


def _children(asked: Asked) -> dict[str, list[int]]:
    """Start a child by fork, one by spawn, a program, and one in a session of its own; all sleep n seconds (1000).

    It returns once all run. With the text "wait" it then sleeps as long itself, with "join" it waits for those that
    Python has started.
    """
    seconds = asked.number(1000)
    started: list[Any] = [
        multiprocessing.get_context("fork").Process(target=child, args=(seconds,)),
        multiprocessing.get_context("spawn").Process(target=child, args=(seconds,)),
    ]
    for process in started:
        process.start()
    programs = [subprocess.Popen(["sleep", str(seconds)], start_new_session=own) for own in (False, True)]
    pids = [*(process.pid or 0 for process in started), *(program.pid for program in programs)]
    note("children", pids=pids)
    if asked.text == "wait":
        time.sleep(seconds)
    for process in started if asked.text == "join" else ():
        process.join()
    return {"pids": pids, "exits": [process.exitcode or 0 for process in started]}


def _files(asked: Asked) -> dict[str, str]:
    """Keep n files (2) as artifacts."""
    for number in range(int(asked.number(2))):
        (progress.artifacts / f"file-{number}.txt").write_text(f"artifact {number}\n")
    return {"folder": str(progress.artifacts)}


def _print(asked: Asked) -> None:
    """Print, log, write to both descriptors, and have a child write."""
    print("printed")  # noqa: T201
    logging.getLogger("chaos").info("logged")
    os.write(1, b"to one\n")
    os.write(2, b"to two\n")
    subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)


def _flood(asked: Asked) -> None:
    """Print n megabytes (100) in lines of a kilobyte."""
    line = "x" * 1023
    for _ in range(int(asked.number(100)) * 1024):
        print(line)  # noqa: T201


def _upload(asked: Asked) -> dict[str, Any]:
    """Read the uploaded file n times (3), with 0.1 s between."""
    sizes = []
    for _ in range(int(asked.number(3))):
        sizes.append(len(asked.file.read_bytes()))
        note("read", size=sizes[-1])
        time.sleep(0.1)
    return {"sizes": sizes, "name": asked.file.original_filename, "path": asked.file.filename}


TRAIN_MODES: dict[str, Mode] = {
    "ok": _ok,
    "sleep": _sleep,
    "heed": _heed,
    "spin": _spin,
    "steps": _steps,
    "exit3": _exit3,
    "segv": _segv,
    "oom": _oom,
    "raise": _raise,
    "sysexit": _sysexit,
    "kbint": _kbint,
    "deadly": _deadly,
    "big": _big,
    "notjson": _notjson,
    "children": _children,
    "files": _files,
    "print": _print,
    "flood": _flood,
    "upload": _upload,
}
"""Mode names and what they do."""
