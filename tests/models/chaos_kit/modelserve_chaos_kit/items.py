"""The items of the streaming models: what each is, and what happens in its place.

order(**arguments of predict) -> Order;  Order.item(number) -> what to yield, or a failure as the call asks
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .faults import hold_interpreter

__all__ = ["FAILURES", "KINDS", "Order"]


@dataclass(frozen=True)
class Order:
    """What a client asked for: ``items`` items of a ``kind``, ``failure`` in the place of number ``fail_at``.

    ``delay_s`` is the time before each item, ``size`` the length of bytes and text, ``text`` what each item repeats.
    ``close_s`` is how long closing takes; a ``deaf`` generator goes on when it is closed.
    """

    items: int = 3
    kind: str = "dict"
    delay_s: float = 0.0
    size: int = 1
    fail_at: int | None = None
    failure: str = "raise"
    text: str = ""
    close_s: float = 0.0
    deaf: bool = False

    def item(self, number: int) -> Any:
        """Return item ``number``, counted from 0, or fail where it is due."""
        if number == self.fail_at:
            FAILURES[self.failure]()
        return KINDS[self.kind](self, number)


def _raise() -> None:
    raise RuntimeError("password=hunter2 at /home/x")


def _bad_request() -> None:
    from modelserve.errors import BadRequest

    raise BadRequest("The chaos model says no.")


def _exit3() -> None:
    os._exit(3)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


FAILURES: dict[str, Callable[[], None]] = {
    "raise": _raise,
    "bad_request": _bad_request,
    "exit3": _exit3,
    "spin_c": hold_interpreter,
    "stop": _stop,
}
"""What may happen in an item's place."""

KINDS: dict[str, Callable[[Order, int], Any]] = {
    "dict": lambda order, number: {"number": number, "text": order.text},
    "text": lambda order, number: f"{order.text or 'x' * order.size}",
    "lines": lambda order, number: f"one {number}\ntwo\r\nthree\n\ndata: four",
    "bytes": lambda order, number: bytes([number % 256]) * order.size,
    "nan": lambda order, number: {"number": number, "text": float("nan")},
    "object": lambda order, number: {"number": object()},
    "wrong": lambda order, number: {"surprise": number},
    "mixed": lambda order, number: b"bytes" if number % 2 else {"number": number, "text": order.text},
}
"""What an item may be."""
