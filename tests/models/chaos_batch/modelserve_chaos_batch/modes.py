"""How an item of a batch goes wrong, and how a whole batch does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from modelserve_chaos_kit.cuda import Gpu, raise_out_of_memory
from modelserve_chaos_kit.faults import hold_interpreter

__all__ = ["BATCH_MODES", "ITEM_MODES", "Call"]

Call = dict[str, Any]

_GPU = Gpu()


def _raise(call: Call) -> None:
    raise RuntimeError(f"password=hunter2 for {call['text']}")


def _exit3(call: Call) -> None:
    os._exit(3)


def _sleep(call: Call) -> None:
    time.sleep(call["n"])


def _spin(call: Call) -> None:
    while True:
        pass


def _spin_c(call: Call) -> None:
    hold_interpreter()


def _stop(call: Call) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _kill(call: Call) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _cuda_ok(call: Call) -> None:
    _GPU.use()


def _cuda_sticky(call: Call) -> None:
    _GPU.fail("unspecified launch failure", sticky=True)


def _cuda_fits(calls: list[Call], answers: list[Any]) -> list[Any]:
    """Run out of memory where more calls are together than the smallest ``n`` among those of this mode."""
    if len(calls) > min(call["n"] for call in calls if call["mode"] == "cuda_fits"):
        raise_out_of_memory()
    return answers


ITEM_MODES: dict[str, Callable[[Call], object]] = {
    "ok": lambda call: None,
    "error": lambda call: ValueError(f"password=hunter2 for {call['text']}"),
    "raise": _raise,
    "exit3": _exit3,
    "sleep": _sleep,
    "spin": _spin,
    "spin_c": _spin_c,
    "stop": _stop,
    "kill": _kill,
    "cuda_ok": _cuda_ok,
    "cuda_sticky": _cuda_sticky,
}
"""Modes of an item; one that returns an exception has it put into the answers in its place."""

BATCH_MODES: dict[str, Callable[[list[Call], list[Any]], Any]] = {
    "too_few": lambda calls, answers: answers[:-1],
    "too_many": lambda calls, answers: [*answers, answers[-1]],
    "not_a_list": lambda calls, answers: {"answers": answers},
    "none": lambda calls, answers: None,
    "cuda_fits": _cuda_fits,
}
"""Modes of the whole batch: what it answers, given its calls and the right answers."""
