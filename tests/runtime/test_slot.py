"""One worker's place: started, replaced after longer and longer pauses, and stopped."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from modelserve.messages import Answers, Description, Failed, Part
from modelserve.runtime.budget import Budget, Gpus
from modelserve.runtime.interface import Exit, Replica
from modelserve.runtime.slot import FIRST_PAUSE_S, GROWN_UP_S, LONGEST_PAUSE_S, Slot
from tests.runtime.fakes import FakeReplica, run


class Owner:
    """Notes what it is told, and tells its slot of deaths as a deployment does."""

    name = "m"

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.told: list[str] = []

    def warm(self, replica: Replica, description: Description) -> None:
        self.told.append("warm")

    def failed(self, failed: Failed) -> None:
        self.told.append(failed.stage)

    def due(self, replica: Replica) -> int:
        raise NotImplementedError

    def answered(self, replica: Replica, answers: Answers) -> None:
        raise NotImplementedError

    def part(self, replica: Replica, part: Part) -> None:
        raise NotImplementedError

    def replacing(self, reason: str) -> None:
        """The budget of these tests is never spent."""

    def exhausted(self, why: str) -> None:
        self.told.append(why)

    def folder_gone(self, replica: Replica) -> None:
        """Have nothing to do."""

    def lost(self, replica: Replica, end: Exit) -> None:
        self.told.append("lost")
        assert self.slot is not None
        self.slot.lost(replica, end.reason)


class Place:
    """A slot whose replicas come from a list; the last is used no more than once."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.replicas = list(replicas)
        self.used: list[FakeReplica] = []
        self.owner = Owner()
        self.slot = self.owner.slot = Slot(self._next)

    def _next(self, generation: int) -> FakeReplica:
        self.used.append(self.replicas.pop(0))
        return self.used[-1]

    async def keep(self) -> None:
        loop = asyncio.get_running_loop()
        await self.slot.keep(self.owner, Budget(1000, loop.time), Gpus())

    async def used_up(self, count: int) -> FakeReplica:
        """Wait until that many replicas were begun, and the last is warm or has failed."""
        while len(self.used) < count or len(self.owner.told) - self.owner.told.count("lost") < count:
            await asyncio.sleep(0.001)
        return self.used[-1]


def test_a_start_tells_the_owner_that_the_worker_is_warm() -> None:
    async def story() -> None:
        place = Place(FakeReplica())
        assert await place.slot.start(place.owner) is None
        assert place.owner.told == ["warm"]

    run(story())


@pytest.mark.parametrize("stage", ["load", "describe", "warm"])
def test_a_start_that_fails_is_told_and_logged_once_with_its_traceback(
    stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        place = Place(FakeReplica(fails=stage))
        failed = await place.slot.start(place.owner)
        assert failed is not None
        assert failed.stage == stage
        assert place.owner.told == [stage]

    run(story())
    (record,) = caplog.records
    assert (record.levelname, record.__dict__["traceback"]) == ("ERROR", "Traceback")
    assert stage in record.getMessage()


def pauses(lives_s: list[float]) -> list[float]:
    """Return the pauses before each replacement of workers that live so long."""

    async def story() -> list[float]:
        place = Place(*(FakeReplica() for _ in range(len(lives_s) + 1)))
        await place.slot.start(place.owner)
        keeper = asyncio.create_task(place.keep())
        found: list[float] = []
        for count, life_s in enumerate(lives_s, start=1):
            worker = await place.used_up(count)
            await asyncio.sleep(life_s)
            died_at = asyncio.get_running_loop().time()
            worker.die()
            replacement = await place.used_up(count + 1)
            assert replacement.started_at is not None
            found.append(round(replacement.started_at - died_at, 2))
        keeper.cancel()
        return found

    return run(story())


def doubling() -> Iterator[float]:
    yield 0.0
    pause_s = FIRST_PAUSE_S
    while True:
        yield min(pause_s, LONGEST_PAUSE_S)
        pause_s *= 2


def test_the_first_replacement_comes_at_once_and_then_the_pause_doubles_up_to_its_limit() -> None:
    expected = [pause_s for pause_s, _ in zip(doubling(), range(12), strict=False)]
    assert pauses([0.0] * 12) == expected
    assert expected[:4] == [0.0, 0.25, 0.5, 1.0]
    assert expected[-1] == LONGEST_PAUSE_S


def test_after_a_worker_that_lived_long_the_next_comes_at_once_again() -> None:
    assert pauses([0, 0, 0, GROWN_UP_S + 1, 0, 0]) == [0.0, 0.25, 0.5, 0.0, 0.25, 0.5]


def test_a_worker_that_lived_for_a_while_only_does_not_end_the_pauses() -> None:
    assert pauses([0, 0, GROWN_UP_S - 5, 0]) == [0.0, 0.25, 0.5, 1.0]


def test_a_start_that_failed_is_tried_again_until_it_succeeds() -> None:
    async def story() -> None:
        place = Place(FakeReplica(fails="load"), FakeReplica(fails="warm"), FakeReplica(fails="load"), FakeReplica())
        await place.slot.start(place.owner)
        keeper = asyncio.create_task(place.keep())
        await place.used_up(4)
        assert place.owner.told == ["load", "warm", "load", "warm"]
        starts = [replica.started_at or 0.0 for replica in place.used]
        assert [round(later - earlier, 2) for earlier, later in itertools.pairwise(starts)] == [0, 0.25, 0.5]
        keeper.cancel()

    run(story())


def test_the_death_of_another_slots_worker_is_not_its_own() -> None:
    async def story() -> None:
        place = Place(FakeReplica(), FakeReplica())
        await place.slot.start(place.owner)
        keeper = asyncio.create_task(place.keep())
        place.slot.lost(FakeReplica(), "exit")
        await asyncio.sleep(100)
        assert len(place.used) == 1
        keeper.cancel()

    run(story())


def test_stopping_ends_the_worker_that_there_is() -> None:
    async def story() -> None:
        place = Place(FakeReplica())
        await place.slot.stop(1.0)
        await place.slot.start(place.owner)
        await place.slot.stop(2.0)
        assert place.used[0].stops == [2.0]

    run(story())
