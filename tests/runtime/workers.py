"""Real workers for tests: what to start them with, a listener that keeps what it is told, and how to wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

from modelserve.discovery import ModelRef
from modelserve.messages import Answer, Answers, Call, Part
from modelserve.runtime.devices import Placement
from modelserve.runtime.interface import Exit, Replica, WorkerOptions, WorkerSpec

__all__ = ["CHAOS", "Heard", "ask", "spec", "until"]

CHAOS = ModelRef("chaos", "module", "modelserve_chaos.model:Chaos")

T = TypeVar("T")


def spec(ref: ModelRef = CHAOS) -> WorkerSpec:
    """Return what starts one worker of a model, on the first processor."""
    return WorkerSpec(f"{ref.name}-0", ref, Placement((0,)), WorkerOptions(log_level="error"))


def ask(number: int, mode: str = "ok", **arguments: object) -> Call:
    """Return a call of the chaos model."""
    return Call(id=number, request_id=f"id-{number}", query=urlencode({"mode": mode, **arguments}))


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.frames: list[Answers] = []
        self.parts: list[Part] = []
        self.ends: list[Exit] = []
        self.due_calls = 1000

    def due(self, replica: Replica) -> int:
        return self.due_calls

    def answered(self, replica: Replica, answers: Answers) -> None:
        assert not self.ends, "nothing comes after the end"
        self.frames.append(answers)
        self.answers |= {answer.id: answer for answer in answers.answers}

    def part(self, replica: Replica, part: Part) -> None:
        assert not self.ends, "nothing comes after the end"
        self.parts.append(part)

    def folder_gone(self, replica: Replica) -> None:
        """Have nothing to do."""

    def lost(self, replica: Replica, end: Exit) -> None:
        self.ends.append(end)


async def until(check: Callable[[], T], *, within_s: float = 60) -> T:
    """Return the first true value of a check, while the loop goes on; fail once the time is over."""
    deadline = time.monotonic() + within_s
    while not (value := check()):
        assert time.monotonic() < deadline, f"still false after {within_s} s: {check}"
        await asyncio.sleep(0.01)
    return value
