"""Replicas that are small classes, and an event loop whose time costs nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from modelserve.messages import Answer, Answers, Call, Description, Failed, Metadata, Part, Scraped
from modelserve.runtime.checks import Checks
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


def describe(
    *, max_batch_size: int = 1, max_concurrency: int = 1, streams: bool = False, version: str = "1"
) -> Description:
    """Return the description of a model."""
    return Description(
        Metadata("m", "M", "A model.", version=version),
        max_batch_size=max_batch_size,
        max_concurrency=max_concurrency,
        streams=streams,
    )


class FakeReplica:
    """A replica that does what a test says.

    Args:
        start_s: How long it takes to be warm.
        fails: The stage in which it fails to start, if any.
        end_s: How long it takes to die once it is told to end.
        description: What its description says, as ``describe`` takes it.
    """

    pid = 4_194_305  # above the most that Linux gives, see proc(5), so that no process has it

    def __init__(
        self, name: str = "m-0", *, start_s: float = 0.0, fails: str = "", end_s: float = 0.0, **description: Any
    ) -> None:
        self.name = name
        self.begun = 0
        self.calls: list[list[Call]] = []
        self.started_at: float | None = None
        self.is_warm = False
        self.stops: list[float] = []
        self.checked: list[Call] = []
        self.checks = Checks()
        self.scrapes: list[asyncio.Future[Scraped]] = []
        self.cancelled: list[int] = []
        self.allowed: list[int] = []
        self.ends: list[str] = []
        self._end_s = end_s
        self._start_s = start_s
        self._fails = fails
        self._description = describe(**description)
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

    def check(self, call: Call) -> asyncio.Future[Answer]:
        self.checked.append(call)
        return self.checks.ask(call.id)

    def scrape(self) -> asyncio.Future[Scraped]:
        future = asyncio.get_running_loop().create_future()
        self.scrapes.append(future)
        return future

    def cancel(self, ids: list[int]) -> None:
        self.cancelled += ids

    def more(self, call_id: int, parts: int) -> None:
        self.allowed.append(parts)

    def end(self, reason: str, detail: str) -> None:
        self.ends.append(reason)
        asyncio.get_running_loop().call_later(self._end_s, self.die, reason, detail)

    async def stop(self, wait_s: float) -> None:
        self.stops.append(wait_s)
        if self.is_warm:
            self.die("stopped")

    def begin(self, count: int = 1) -> None:
        """Begin to run more of the calls that were sent."""
        self.begun += count

    def answer(self, *calls: Call, busy_s: float = 0.1) -> None:
        """Answer calls, each with its own body."""
        answers = [Answer(call.id, "text/plain", call.body) for call in calls]
        self._tell().answered(self, Answers(answers, busy_ns=int(busy_s * 1e9)))

    def give(self, answer: Answer) -> None:
        """Send an answer of the test's own."""
        self._tell().answered(self, Answers([answer]))

    def open(self, call: Call) -> None:
        """Begin a streamed answer."""
        self._tell().answered(self, Answers([Answer(call.id, "text/event-stream", stream=True)]))

    def part(self, call: Call, data: bytes, *, last: bool = False) -> None:
        """Send a part of a streamed answer."""
        self._tell().part(self, Part(call.id, data, last))

    def die(self, reason: str = "signal", detail: str = "killed by signal 9 (SIGKILL)") -> None:
        """End as a worker does."""
        if self.is_warm:
            self.is_warm = False
            self.checks.lost()
            self._tell().lost(self, Exit(reason, detail))

    def _tell(self) -> Listener:
        assert self._listener is not None
        return self._listener
