"""Row O02 of the list of faults: thousands of calls, random delays, cancels, errors and deaths, and each caller still
gets its own answer, exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from modelserve.messages import Answer, Answers, Call, Description, Failure, Scraped
from modelserve.metrics import Metrics
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.interface import Exit, Listener
from modelserve.runtime.limits import Limits
from modelserve.runtime.slot import Slot
from tests.runtime.fakes import describe, run

CALLS = 10_000
WORKERS = 4

ERROR = Failure(500, "model_error", "The model failed.")


class Storm:
    """What the replicas of one run share, and what they have done."""

    def __init__(self, seed: int, max_batch_size: int) -> None:
        self.random = random.Random(seed)
        self.max_batch_size = max_batch_size
        self.deaths = 0
        self.deadly: set[bytes] = set()
        self.answered: Counter[bytes] = Counter()
        self.pid = 0


class StormReplica:
    """Runs frames in order as a worker does, at random speeds, and dies now and then in the midst of one."""

    def __init__(self, storm: Storm) -> None:
        storm.pid += 1
        self.name, self.pid = f"m-{storm.pid}", storm.pid
        self.begun = 0
        self._storm = storm
        self._frames: asyncio.Queue[list[Call]] = asyncio.Queue()

    async def start(self, listener: Listener) -> Description:
        await asyncio.sleep(self._storm.random.random() / 10)
        self._listener = listener
        self._worker = asyncio.create_task(self._work())
        return describe(max_batch_size=self._storm.max_batch_size)

    def send(self, calls: list[Call]) -> None:
        self._frames.put_nowait(calls)

    def scrape(self) -> asyncio.Future[Scraped]:
        raise NotImplementedError

    def check(self, call: Call) -> asyncio.Future[Answer]:
        raise NotImplementedError

    def cancel(self, ids: list[int]) -> None:
        """A worker may as well finish what was given up."""

    def more(self, call_id: int, parts: int) -> None:
        raise NotImplementedError

    def end(self, reason: str, detail: str) -> None:
        raise NotImplementedError

    async def stop(self, wait_s: float) -> None:
        if not self._worker.done():
            self._worker.cancel()
            self._listener.lost(self, Exit("stopped", "it was stopped"))

    async def _work(self) -> None:
        while True:
            frame = await self._frames.get()
            done: list[Call] = []  # as a worker does, it keeps some answers back to send them with the next
            for part in [frame] if self._storm.max_batch_size > 1 else [[call] for call in frame]:
                self.begun += len(part)
                await asyncio.sleep(self._storm.random.random() / 100)
                if self._storm.random.random() < 0.003:
                    self._die(part)
                    return
                done += part
                if self._storm.random.random() < 0.5:
                    self._answer(done)
                    done = []
            if done:
                self._answer(done)

    def _die(self, running: list[Call]) -> None:
        self._storm.deaths += 1
        self._storm.deadly |= {call.body for call in running}
        self._listener.lost(self, Exit("signal", "killed by signal 9 (SIGKILL)"))

    def _answer(self, calls: list[Call]) -> None:
        self._storm.answered.update(call.body for call in calls)
        answers = [self._one(call) for call in calls]
        self._storm.random.shuffle(answers)
        # quick enough for frames of several calls, and for one to be sent ahead
        self._listener.answered(self, Answers(answers, busy_ns=100_000 * len(answers)))

    def _one(self, call: Call) -> Answer:
        if self._storm.random.random() < 0.02:
            return Answer(call.id, failure=ERROR)
        return Answer(call.id, "text/plain", call.body)


class Client:
    """Makes one call after another, gives some up, and notes what came back."""

    def __init__(self, deployment: Deployment, storm: Storm) -> None:
        self._deployment = deployment
        self._random = storm.random
        self.codes: Counter[str] = Counter()
        self.died: set[bytes] = set()

    async def call(self, body: bytes) -> None:
        await asyncio.sleep(self._random.random() * 10)
        future = self._deployment.call(Call(body=body))
        if self._random.random() < 0.1:
            await asyncio.sleep(self._random.random() / 20)
            if future.cancel():
                self.codes["cancelled"] += 1
                return
        answer = await future
        code = answer.failure.code if answer.failure else "ok"
        assert code != "ok" or answer.body == body, "the answer is another caller's"
        self.codes[code] += 1
        if code == "worker_died":
            self.died.add(body)


async def storm_over(storm: Storm) -> Client:
    slots = [Slot(lambda generation: StormReplica(storm)) for _ in range(WORKERS)]
    deployment = Deployment(
        "m", slots, limits=Limits(max_queue=CALLS, restart_budget=10_000), metrics=Metrics().deployment("m")
    )
    await deployment.start()
    client = Client(deployment, storm)
    async with asyncio.TaskGroup() as callers:
        for number in range(CALLS):
            callers.create_task(client.call(b"%d" % number))
    await deployment.drain()
    await deployment.stop(0)
    return client


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("max_batch_size", [1, 8])
def test_each_of_ten_thousand_callers_gets_its_own_answer(seed: int, max_batch_size: int) -> None:
    storm = Storm(seed, max_batch_size)
    client = run(storm_over(storm))
    codes = client.codes
    assert codes.total() == CALLS, "nobody was forgotten"
    assert set(codes) == {"ok", "model_error", "cancelled", "worker_died"}
    assert storm.deaths > 5
    assert codes["worker_died"] <= storm.deaths, "a death costs one call at most"
    assert client.died <= storm.deadly, "and that is one that ran when the worker died"
    assert max(storm.answered.values()) == 1, "no call is answered twice"
