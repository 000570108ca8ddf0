"""The faults of import, arguments, metadata and warming, asked for by environment variables.

Each variable holds one of the words below, nothing when all is well. Any other word is an error of the test.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["commit"]


def commit(variable: str) -> None:
    """Do what the environment variable asks, if anything; some faults do not return."""
    word = os.environ.get(variable, "")
    if word:
        _FAULTS[word](variable)


def _raise(variable: str) -> None:
    raise RuntimeError(f"{variable} asked for this")


def _value_error(variable: str) -> None:
    raise ValueError(f"{variable} asked for this")


def _attribute_error(variable: str) -> None:
    raise AttributeError(f"{variable} asked for this")


def _exit(variable: str) -> None:
    os._exit(3)


def _sysexit(variable: str) -> None:
    sys.exit(0)


def _hang(variable: str) -> None:
    threading.Event().wait()


def _segv(variable: str) -> None:
    ctypes.string_at(0)


_FAULTS: dict[str, Callable[[str], Any]] = {
    "raise": _raise,
    "valueerror": _value_error,
    "attributeerror": _attribute_error,
    "exit": _exit,
    "sysexit": _sysexit,
    "hang": _hang,
    "segv": _segv,
}
