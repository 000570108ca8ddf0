"""Workers that send what is no frame, nearly one, or one at the wrong time: they are replaced, and nobody waits.

What is made up comes from a seed, which a failure prints; ``FUZZ_SEED`` repeats it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from modelserve.errors import ModelserveError, WorkerDied
from modelserve.messages import (
    Answer,
    Answers,
    Call,
    Checked,
    Failed,
    Failure,
    FileAnswer,
    Part,
    Ready,
    Scraped,
    Stage,
)
from modelserve.metrics import Metrics
from modelserve.runtime.deployment import Deployment, Status
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.limits import Limits
from modelserve.runtime.slot import Slot
from modelserve.runtime.streams import Streamed
from tests.faults.mutations import SEED, Mutations
from tests.runtime.fakes import describe
from tests.runtime.liar import Liar, Lie, QuickLoop, framed

TIMES_S = [5, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]

# What msgpack is made of: every kind of value, lengths that lie, extensions; and the heads of frames.
WORDS = (
    *(b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xca\x7f\xc0\x00\x00", b"\xcb\x7f\xf8" + bytes(6), b"\xcf" + b"\xff" * 8),
    *(b"\xd3\x80" + bytes(7), b"\xd9\xff", b"\xdb\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"),
    *(b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xd6\xff" + bytes(4), b"\x91" * 600, b"\x81\xa1a" * 300),
    *(b"\xa7answers", b"\xa4part", b"\xa5ready", b"\xa2\xc3\x28", b"\xa3\xed\xa0\x80", b"\xff" * 8, bytes(8), b"\x00"),
    *(bytes([0, 0, 0, 1, 0, 0, 0, 1]), b"\xff\xff\xff\xff\x00\x00\x00\x00", b"\x00\x00\x00\x10\x00\x00\x0f\xff"),
)


class Observed:
    """A deployment whose workers lie as a test says, and what its loop could not deal with."""

    def __init__(self) -> None:
        self.lie: Lie | None = None
        self.opening: Sequence[bytes] | None = None
        self.unexpected: list[str] = []
        self.replicas: list[Liar] = []
        metrics = Metrics().deployment("m")
        limits = Limits(max_queue=100, restart_budget=10_000_000)
        self.deployment = Deployment("m", [Slot(self._make)], limits=limits, metrics=metrics)
        asyncio.get_running_loop().set_exception_handler(self._note)

    def _make(self, generation: int) -> Liar:
        self.replicas.append(Liar(lie=self.lie, opening=self.opening))
        return self.replicas[-1]

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unexpected.append(repr(context))

    async def ask(self, body: bytes = b"x") -> str:
        """Return how a call ends: its answer's text, or the code of its failure."""
        try:
            async with asyncio.timeout(60):
                answer = await self.deployment.call(Call(request_id="id", body=body))
                return await _read(answer)
        except ModelserveError as error:
            return error.code

    async def lie_once(self, lie: Lie) -> str:
        """Have the next worker lie, and return how the call that it had ends; then have an honest one answer."""
        self.lie = lie
        await self._replaced()
        ended = await self.ask()
        self.lie = None
        await self._replaced()
        assert await self.ask(b"honest") == "honest"
        assert not self.unexpected, self.unexpected
        report = self.deployment.status_report()
        assert (report.queue_calls, report.queue_bytes) == (0, 0)
        assert self.deployment.status is Status.READY
        return ended

    async def _replaced(self) -> None:
        """Wait for a worker that was made since now."""
        count = len(self.replicas)
        self.replicas[-1].end("stopped", "the test wants another")
        async with asyncio.timeout(600):
            while len(self.replicas) == count or not self.replicas[-1].is_warm:
                await asyncio.sleep(0.1)


async def _read(answer: Answer) -> str:
    """Return what a client is given in the end, or the code of the failure that ends it."""
    if answer.failure is not None:
        return answer.failure.code
    if not isinstance(answer, Streamed) or answer.parts is None:
        return bytes(answer.body).decode(errors="replace")
    with contextlib.closing(answer.parts) as parts:
        found = [part async for part in parts]
    failed = [part.failure.code for part in found if part.failure is not None]
    return failed[0] if failed else b"".join(part.data for part in found).decode(errors="replace")


def run(story: Callable[[Observed], Any]) -> None:
    """Run a story about one deployment on a loop whose time costs nothing."""

    async def told() -> None:
        it = Observed()
        await it.deployment.start()
        try:
            await story(it)
        finally:
            await it.deployment.stop(0)

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        runner.run(told())


def good(calls: list[Call]) -> list[bytes]:
    """Return each thing that a worker may send, about these calls where it is about any."""
    number = calls[0].id
    large = bytes(100_000)
    return [
        framed(Answers([Answer(number, "text/plain", b"good")], busy_ns=5)),
        framed(Answers([Answer(number, "text/plain", large)], busy_ns=5)),
        framed(Answers([Answer(number, failure=Failure(400, "bad_request", "No.", {"x": ["y"]}, "log"))])),
        framed(Answers([Answer(number, "text/plain", file=FileAnswer("/nonexistent", 5))])),
        framed(
            Answers([Answer(number, "text/event-stream", stream=True)]), Part(number, b"a"), Part(number, large, True)
        ),
        framed(Checked(Answer(number, body=b"{}"))),
        framed(Scraped()),
        framed(Stage("warm")),
        framed(Ready(describe())),
        framed(Failed("warm", "It failed.", "Traceback")),
    ]


def test_an_answer_is_the_same_wherever_its_frame_is_cut() -> None:
    async def story(it: Observed) -> None:
        size = len(framed(Answers([Answer(1000, "text/plain", b"good")], busy_ns=5)))
        for place in range(1, size + 1):
            assert await it.lie_once(cut(0, place)) == "good"
        assert await it.lie_once(lambda calls: [bytes([byte]) for byte in good(calls)[0]]) == "good"
        for place in (1, 7, 8, 9, 15, 16, 17, 40, 65_536, 90_000):
            assert await it.lie_once(cut(1, place)) == "\0" * 100_000

    run(story)


def cut(kind: int, place: int) -> Lie:
    """Send a frame in two pieces."""
    return lambda calls: [good(calls)[kind][:place], good(calls)[kind][place:]]


def test_an_answer_that_breaks_off_anywhere_is_a_worker_that_died() -> None:
    async def story(it: Observed) -> None:
        for place in range(len(framed(Answers([Answer(1, "text/plain", b"good")], busy_ns=5)))):
            assert await it.lie_once(broken_off(place)) == WorkerDied.code

    run(story)


def broken_off(place: int) -> Lie:
    return lambda calls: [good(calls)[0][:place]]


@pytest.mark.parametrize("number", range(1, 10))
def test_what_is_said_twice_or_at_the_wrong_time_harms_nobody(number: int) -> None:
    async def story(it: Observed) -> None:
        for other in range(10):
            await it.lie_once(in_turn(number, other, number))

    run(story)


def in_turn(*kinds: int) -> Lie:
    return lambda calls: [good(calls)[kind] for kind in kinds]


@pytest.mark.parametrize("time_s", TIMES_S)
def test_what_is_nearly_a_frame_ends_the_worker_and_nothing_else(time_s: int) -> None:
    """X7, Y29."""
    print(f"FUZZ_SEED={SEED}")  # noqa: T201

    async def story(it: Observed) -> None:
        end_s, chance = time.monotonic() + time_s, random.Random(SEED)
        while time.monotonic() < end_s:
            sent: list[bytes] = []

            def lie(calls: list[Call], sent: list[bytes] = sent, seed: int = chance.randrange(1 << 30)) -> list[bytes]:
                # Without the file, which the server may be told to remove: nothing is made up about what is removed.
                whole = good(calls)
                mutations = Mutations(seed, [*whole[:3], *whole[4:]], WORDS)
                sent += mutations.cut(b"".join(mutations.next() for _ in range(seed % 3 + 1)))
                return sent

            try:
                await it.lie_once(lie)
            except BaseException as error:
                raise AssertionError(f"FUZZ_SEED={SEED}: {error!r} after {sent}") from error

    run(story)


@pytest.mark.parametrize("time_s", TIMES_S[:1])
def test_what_is_nearly_a_start_fails_it_or_starts_it(time_s: int) -> None:
    async def story(it: Observed) -> None:
        end_s, mutations = time.monotonic() + time_s, Mutations(SEED, good([Call(1)])[5:], WORDS)
        while time.monotonic() < end_s:
            it.opening = mutations.cut(mutations.next())
            liar = it._make(0)
            it.replicas.pop()
            with contextlib.suppress(StartFailed, TimeoutError):
                async with asyncio.timeout(5):
                    await liar.start(it.deployment)
            await liar.stop(0)
            assert not it.unexpected, f"FUZZ_SEED={SEED}: {it.opening}"

    run(story)
