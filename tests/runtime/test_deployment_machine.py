"""Row O02 of the list of faults, as a state machine: whatever order calls, answers, deaths, timeouts, departures and
reloads come in, each caller gets its own answer or a reason, exactly once, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from modelserve.errors import NotReady, QueueFull, QueueTimeout
from modelserve.messages import Answer, Call
from modelserve.metrics import Metrics
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.limits import Limits
from modelserve.runtime.slot import Slot
from modelserve.runtime.status import ReloadFailed
from tests.runtime.fakes import FakeReplica, JumpingLoop

REASONS = {"worker_died", "predict_timeout", "queue_timeout", "not_ready"}

WORKERS = st.integers(0, 5)


class Worker(FakeReplica):
    """Begins what it is sent in order, and answers when it is told."""

    def __init__(self, number: int, answered: Counter[bytes], *, max_batch_size: int, max_concurrency: int) -> None:
        super().__init__(
            f"m-{number}", end_s=0.5, max_batch_size=max_batch_size, max_concurrency=max_concurrency, start_s=0.1
        )
        self.pid = 0
        self.running: list[Call] = []
        self._todo: deque[list[Call]] = deque()
        self._answered = answered
        self._is_concurrent = max_concurrency > 1

    def send(self, calls: list[Call]) -> None:
        batches = self._description.max_batch_size > 1
        self._todo.extend([calls] if batches else [[call] for call in calls])

    def go_on(self) -> None:
        """Begin the next calls; one after the other where they do not run at the same time."""
        if self._todo and (self._is_concurrent or not self.running):
            calls = self._todo.popleft()
            self.running += calls
            self.begin(len(calls))

    def finish(self) -> None:
        """Answer what runs."""
        if self.is_warm and self.running:
            calls, self.running = self.running, []
            self._answered.update(call.body for call in calls)
            self.answer(*reversed(calls), busy_s=0.0001)


class Machine(RuleBasedStateMachine):
    """A deployment, its workers and its callers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = JumpingLoop()
        self.workers: list[Worker] = []
        self.waiting: dict[bytes, asyncio.Future[Answer]] = {}
        self.answered: Counter[bytes] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.made = 0

    @initialize(
        size=st.sampled_from([(1, 1), (1, 1), (4, 1), (1, 4)]),
        workers=st.integers(1, 3),
        timeout_s=st.sampled_from([0.0, 1.0]),
        batch_wait_s=st.sampled_from([0.0, 0.2]),
        kill=st.booleans(),
        budget=st.sampled_from([3, 1000]),
    )
    def deploy(
        self, size: tuple[int, int], workers: int, timeout_s: float, batch_wait_s: float, kill: bool, budget: int
    ) -> None:
        self.size, self.places = size, workers
        limits = Limits(
            max_queue=50,
            max_queue_bytes=400,
            predict_timeout_s=timeout_s,
            batch_wait_s=batch_wait_s,
            kill_cancelled=kill,
            restart_budget=budget,
            max_calls=20,
            grace_s=1.0,
        )
        slots = [Slot(self.make) for _ in range(workers)]
        self.deployment = Deployment("m", slots, limits=limits, metrics=Metrics().deployment("m"))
        self.loop.run_until_complete(self.deployment.start())

    def make(self, generation: int) -> Worker:
        worker = Worker(len(self.workers), self.answered, max_batch_size=self.size[0], max_concurrency=self.size[1])
        self.workers.append(worker)
        return worker

    @rule(count=st.integers(1, 20), within_s=st.sampled_from([0.0, 0.0, 0.3, 3.0]))
    def call(self, count: int, within_s: float) -> None:
        async def calls() -> None:
            for _ in range(count):
                self.made += 1
                body = b"%d" % self.made
                deadline = self.loop.time() + within_s if within_s else 0.0
                try:
                    self.waiting[body] = self.deployment.call(Call(body=body, deadline=deadline))
                except (QueueFull, NotReady, QueueTimeout) as error:
                    self.outcomes[error.code] += 1

        self.loop.run_until_complete(calls())
        self.turn()

    @rule(which=st.lists(st.integers(0, 60), max_size=5))
    def leave(self, which: list[int]) -> None:
        async def leaves() -> None:
            futures = list(self.waiting.values())
            for index in which:
                if index < len(futures):
                    futures[index].cancel()

        self.loop.run_until_complete(leaves())
        self.turn()

    @rule(which=WORKERS, count=st.integers(1, 10))
    def begin(self, which: int, count: int) -> None:
        if worker := self.alive(which):
            for _ in range(count):
                worker.go_on()
        self.turn()

    @rule(which=WORKERS, rounds=st.integers(1, 8))
    def work(self, which: int, rounds: int) -> None:
        for _ in range(rounds):
            if worker := self.alive(which):
                self.loop.call_soon(worker.go_on)
                self.loop.call_soon(worker.finish)
                self.turn()

    @rule(which=WORKERS, reason=st.sampled_from(["signal", "exit"]))
    def die(self, which: int, reason: str) -> None:
        if worker := self.alive(which):
            self.loop.call_soon(worker.die, reason)
        self.turn()

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.5, 70.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule()
    def reload(self) -> None:
        async def reloading() -> None:
            try:
                await self.deployment.reload([self.make] * self.places)
            except ReloadFailed:
                self.outcomes["reload failed"] += 1

        self.loop.run_until_complete(reloading())

    @invariant()
    def each_answer_is_the_callers_own(self) -> None:
        for body, future in list(self.waiting.items()):
            if not future.done():
                continue
            del self.waiting[body]
            if future.cancelled():
                self.outcomes["left"] += 1
                continue
            answer = future.result()
            code = answer.failure.code if answer.failure else "ok"
            assert code in REASONS or answer.body == body
            self.outcomes[code] += 1
        assert all(count == 1 for count in self.answered.values()), "no call is answered twice"
        assert self.outcomes.total() - self.outcomes["reload failed"] + len(self.waiting) == self.made

    def teardown(self) -> None:
        if not hasattr(self, "deployment"):
            self.loop.close()
            return
        for _ in range(300):
            for worker in [worker for worker in self.workers if worker.is_warm]:
                for step in [worker.go_on, worker.finish] * 25:
                    self.loop.call_soon(step)
                self.turn()
            if not self.waiting and not any(worker.calls for worker in self.deployment.status_report().workers):
                break
            self.loop.run_until_complete(asyncio.sleep(0.5))
            self.each_answer_is_the_callers_own()
        report = self.deployment.status_report()
        assert not self.waiting, "nobody is forgotten"
        assert (report.queue_calls, report.queue_bytes) == (0, 0)
        self.loop.run_until_complete(self.deployment.stop(0))
        assert not any(worker.is_warm for worker in self.workers), "no worker is left"
        self.loop.close()

    def alive(self, which: int) -> Worker | None:
        warm = [worker for worker in self.workers if worker.is_warm]
        return warm[which] if which < len(warm) else None

    def turn(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
