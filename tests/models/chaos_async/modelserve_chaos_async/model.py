"""The asynchronous model: each call says how it is to go, and learns how many ran beside it.

The side log has ``predict`` when a call begins, with ``at_once``, how many run then, and ``predicted`` or ``cancelled``
when it ends. ``CHAOS_CONCURRENCY`` is ``max_concurrency``; else 10.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from marshmallow.validate import OneOf
from modelserve_chaos_kit.faults import commit, hold_interpreter
from modelserve_chaos_kit.side_log import note
from modelserve_chaos_kit.switches import switch

from modelserve.v2 import fields

__all__ = ["ChaosAsync"]


class ChaosAsync:
    """Answers ``{"text", "at_once", "peak", "pid"}``: how many calls ran when this one began, and at most so far."""

    max_concurrency = int(switch("CHAOS_CONCURRENCY", "10"))

    def __init__(self) -> None:
        self._at_once = 0
        self._peak = 0

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata."""
        return {"id": "chaos-async", "name": "Chaos at once", "description": "Misbehaves on demand."}

    def warm(self) -> None:
        """Say in the side log that it ran, and fail as ``CHAOS_WARM`` says."""
        note("warm")
        commit("CHAOS_WARM")

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of one call."""
        return {
            "mode": fields.Str(load_default="ok", validate=OneOf(list(_MODES))),
            "n": fields.Float(load_default=0.0),
            "text": fields.Str(load_default=""),
        }

    async def predict(self, mode: str, n: float, text: str) -> dict[str, Any]:
        """Do what ``mode`` says."""
        self._at_once += 1
        self._peak = max(self._peak, self._at_once)
        at_once = self._at_once
        note("predict", mode=mode, text=text, at_once=at_once)
        end = "cancelled"
        try:
            await _MODES[mode](n)
            end = "predicted"
        except asyncio.CancelledError:
            raise
        except BaseException:
            end = "predicted"
            raise
        finally:
            self._at_once -= 1
            note(end, mode=mode, text=text)
        return {"text": text, "at_once": at_once, "peak": self._peak, "pid": os.getpid()}


async def _ok(n: float) -> None:
    pass


async def _sleep(n: float) -> None:
    await asyncio.sleep(n)


async def _block(n: float) -> None:
    """Hold up every other call for n seconds."""
    time.sleep(n)


async def _spin_c(n: float) -> None:
    hold_interpreter()


async def _deaf(n: float) -> None:
    """Sleep n seconds, whoever cancels it."""
    end = asyncio.get_running_loop().time() + n
    while (left := end - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


async def _raise(n: float) -> None:
    await asyncio.sleep(n)
    raise RuntimeError("password=hunter2 at /home/x")


async def _cancel_itself(n: float) -> None:
    raise asyncio.CancelledError


async def _sysexit(n: float) -> None:
    raise SystemExit(3)


async def _exit3(n: float) -> None:
    await asyncio.sleep(n)
    os._exit(3)


async def _stray(n: float) -> None:
    """Leave a task that fails after n seconds, when nobody awaits it."""
    task = asyncio.get_running_loop().create_task(_raise(n))
    _STRAYS.add(task)


async def _stop_loop(n: float) -> None:
    """Stop the event loop that everything here runs on."""
    asyncio.get_running_loop().stop()


_STRAYS: set[asyncio.Task[None]] = set()

_MODES: dict[str, Callable[[float], Awaitable[None]]] = {
    "ok": _ok,
    "sleep": _sleep,
    "block": _block,
    "spin_c": _spin_c,
    "deaf": _deaf,
    "raise": _raise,
    "cancel_itself": _cancel_itself,
    "sysexit": _sysexit,
    "exit3": _exit3,
    "stray": _stray,
    "stop_loop": _stop_loop,
}
