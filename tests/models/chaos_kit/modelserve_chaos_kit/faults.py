"""The faults of import, arguments, metadata, warming and exit, asked for by switches.

Each switch holds one of the words below, nothing when all is well. Any other word is an error of the test.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable

from .cuda import raise_out_of_memory
from .side_log import note
from .switches import switch

__all__ = ["commit", "exit_slowly", "hold_interpreter", "pause"]


def commit(name: str) -> None:
    """Do what the switch asks, if anything; some faults do not return."""
    word = switch(name)
    if word:
        _FAULTS[word](name)


def pause(name: str) -> None:
    """Sleep for the seconds that the switch says."""
    time.sleep(float(switch(name, "0")))


def hold_interpreter() -> None:
    """Run for longer than any test inside one C call that holds the interpreter lock."""
    re.match("(a+)+$", "a" * 40 + "b")


def exit_slowly(seconds: float) -> None:
    """Ignore SIGTERM from now on, and take so long to end once the interpreter shuts down."""

    def end() -> None:
        note("exiting")
        time.sleep(seconds)
        note("exited")

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit.register(end)


def _raise(name: str) -> None:
    raise RuntimeError(f"{name} asked for this")


def _value_error(name: str) -> None:
    raise ValueError(f"{name} asked for this")


def _attribute_error(name: str) -> None:
    raise AttributeError(f"{name} asked for this")


def _memory_error(name: str) -> None:
    raise MemoryError(f"{name} asked for this")


def _exit(name: str) -> None:
    os._exit(3)


def _sysexit(name: str) -> None:
    sys.exit(0)


def _hang(name: str) -> None:
    threading.Event().wait()


def _spin(name: str) -> None:
    hold_interpreter()


def _stop(name: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _kill(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segv(name: str) -> None:
    ctypes.string_at(0)


def _cuda_oom(name: str) -> None:
    raise_out_of_memory()


_FAULTS: dict[str, Callable[[str], None]] = {
    "raise": _raise,
    "valueerror": _value_error,
    "attributeerror": _attribute_error,
    "memoryerror": _memory_error,
    "exit": _exit,
    "sysexit": _sysexit,
    "hang": _hang,
    "spin": _spin,
    "stop": _stop,
    "kill": _kill,
    "segv": _segv,
    "cuda_oom": _cuda_oom,
}
