"""Replicas that are small classes, and an event loop whose time costs nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from modelserve.messages import Answer, Answers, Call, Description, Failed, Metadata
from modelserve.runtime.interface import Exit, Listener, StartFailed

__all__ = ["FakeReplica", "JumpingLoop", "describe", "run"]

T = TypeVar("T")


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for its next timer: its time jumps there when there is nothing else to do."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now_s


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:  # nothing is planned at all: what is waited for would never come
            raise AssertionError("the test waits for ever")
        self._loop.now_s += timeout
        return super().select(0)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop whose time jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(coroutine)


def describe(*, max_batch_size: int = 1) -> Description:
    """Return the description of a model."""
    return Description(Metadata("m", "M", "A model."), max_batch_size=max_batch_size)


class FakeReplica:
    """A replica that does what a test says. ``frames`` are the ids of the calls it was sent.

    Args:
        start_s: How long it takes to be warm.
        fails: The stage in which it fails to start, if any.
        max_batch_size: What its description says.
    """

    pid = 4711

    def __init__(self, name: str = "m-0", *, start_s: float = 0.0, fails: str = "", max_batch_size: int = 1) -> None:
        self.name = name
        self.begun = 0
        self.calls: list[list[Call]] = []
        self.started_at: float | None = None
        self.is_warm = False
        self.stops: list[float] = []
        self._start_s = start_s
        self._fails = fails
        self._description = describe(max_batch_size=max_batch_size)
        self._listener: Listener | None = None

    @property
    def frames(self) -> list[list[bytes]]:
        """The bodies of the calls of each frame it was sent."""
        return [[call.body for call in calls] for calls in self.calls]

    async def start(self, listener: Listener) -> Description:
        self._listener = listener
        self.started_at = asyncio.get_running_loop().time()
        await asyncio.sleep(self._start_s)
        if self._fails:
            raise StartFailed(Failed(self._fails, "It did not start.", "Traceback"))
        self.is_warm = True
        return self._description

    def send(self, calls: list[Call]) -> None:
        self.calls.append(calls)

    async def stop(self, wait_s: float) -> None:
        self.stops.append(wait_s)
        if self.is_warm:
            self.die("stopped")

    def begin(self, count: int = 1) -> None:
        """Begin to run more of the calls that were sent."""
        self.begun += count

    def answer(self, *calls: Call, busy_s: float = 0.1) -> None:
        """Answer calls, each with its own body."""
        assert self._listener is not None
        answers = [Answer(call.id, "text/plain", call.body) for call in calls]
        self._listener.answered(self, Answers(answers, busy_ns=int(busy_s * 1e9)))

    def die(self, reason: str = "signal") -> None:
        """End as a worker does."""
        assert self._listener is not None
        self.is_warm = False
        self._listener.lost(self, Exit(reason, "killed by signal 9 (SIGKILL)"))
