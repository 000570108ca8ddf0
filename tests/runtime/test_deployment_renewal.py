"""Renewals that meet each other, deaths, starts and the end of the server: no old code is left, nothing starts late."""

from __future__ import annotations

import asyncio

import pytest

from modelserve.errors import Stopping
from modelserve.messages import Answer
from modelserve.runtime.budget import Gpus
from modelserve.runtime.status import ReloadFailed, Status
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, now, text, turn
from tests.test_stalls import stand_still


async def called(it: Story, worker: FakeReplica, body: str) -> asyncio.Future[Answer]:
    """Make a call that comes to a worker, which begins with it and does not end."""
    future = it.call(body)
    await it.until(lambda: worker.calls and worker.calls[-1][-1].body == body.encode())
    worker.begin()
    return future


def test_a_replacement_that_fails_after_a_reload_has_its_place_changes_nothing() -> None:
    """Y21."""

    async def story() -> None:
        slow = FakeReplica("m-0", start_s=9, fails="load")
        it = Story(old := FakeReplica(), slow, FakeReplica("m-0.1"), FakeReplica("m-0.2"))
        await it.deployment.start()
        old.die()
        await it.until(lambda: slow.started_at is not None)
        await it.deployment.reload([it.make])
        await asyncio.sleep(100)
        assert list(it.deployment.workers) == ["m-0.1"]
        assert len(it.used) == 3
        assert it.deployment.failure is None
        await it.deployment.reload([it.make])
        assert list(it.deployment.workers) == ["m-0.2"]

    run(story())


@pytest.mark.parametrize("fails", ["", "warm"], ids=["late", "failed"])
def test_a_reload_while_the_first_workers_still_start_overtakes_them(fails: str) -> None:
    """Y21, Y24."""

    async def story() -> None:
        first = [FakeReplica(f"m-{number}", start_s=40, fails=fails) for number in range(2)]
        new = [FakeReplica(f"m-{number}.1", start_s=1) for number in range(2)]
        it = Story(*first, *new, FakeReplica("m-0.1"), workers=2)
        starting = asyncio.create_task(it.deployment.start())
        await turn()
        await it.deployment.reload([it.make, it.make])
        assert now() < 3
        assert it.deployment.status is Status.READY
        assert all(worker.stops for worker in first)
        await starting
        await asyncio.sleep(100)
        assert list(it.deployment.workers) == ["m-0.1", "m-1.1"]
        assert it.deployment.failure is None
        new[0].die()
        await it.until(lambda: len(it.used) == 5 and it.used[4].is_warm)

    run(story())


def test_a_reload_ends_what_is_still_leaving_from_before_it() -> None:
    """Y21: whatever is not of the reload serves old code."""

    async def story() -> None:
        it = Story(old := FakeReplica(), between := FakeReplica("m-0.1"), FakeReplica("m-0.2"), max_calls=1, grace_s=5)
        await it.deployment.start()
        await called(it, old, "a")
        running = it.call("b")
        old.answer(*old.calls[0])
        await turn()
        old.begin()
        await it.until(lambda: between.is_warm)
        assert not old.stops
        await it.deployment.reload([it.make])
        assert now() == pytest.approx(5, abs=0.1)
        assert old.stops
        assert list(it.deployment.workers) == ["m-0.2"]
        await turn()
        it.used[2].answer(*it.used[2].calls[0])
        assert text(running) == "b"

    run(story())


def test_a_reload_does_not_wait_for_the_successor_of_a_recycled_worker() -> None:
    """Y21."""

    async def story() -> None:
        it = Story(old := FakeReplica(), slow := FakeReplica("m-0.1", start_s=500), FakeReplica("m-0.2"), max_calls=1)
        await it.deployment.start()
        await called(it, old, "a")
        old.answer(*old.calls[0])
        await it.until(lambda: slow.started_at is not None)
        await it.deployment.reload([it.make])
        assert now() < 1
        await asyncio.sleep(1000)
        assert list(it.deployment.workers) == ["m-0.2"]
        assert not slow.is_warm

    run(story())


@pytest.mark.parametrize("fails", ["", "warm"], ids=["replaced", "not replaced"])
def test_a_recycled_worker_that_dies_while_its_successor_starts_leaves_one_worker(fails: str) -> None:
    """Y21: whichever of the two comes first has the place, and the other is ended or of no matter."""

    async def story() -> None:
        between = FakeReplica("m-0", start_s=1, fails=fails)
        it = Story(old := FakeReplica(), successor := FakeReplica("m-0.1", start_s=9), between, max_calls=1)
        await it.deployment.start()
        await called(it, old, "a")
        old.answer(*old.calls[0])
        await it.until(lambda: successor.started_at is not None)
        old.die()
        await it.until(lambda: between.started_at is not None)
        await asyncio.sleep(1.1)
        if fails:
            it._coming.append(FakeReplica("m-0", start_s=60))
        await asyncio.sleep(100)
        assert list(it.deployment.workers) == (["m-0.1"] if fails else ["m-0"])
        assert bool(successor.stops) is not bool(fails)
        assert it.deployment.status is Status.READY

    run(story())


def test_a_gpu_that_is_forgiven_is_used_again_by_every_deployment() -> None:
    """Y21: not only by the one that was reloaded."""

    async def story() -> None:
        gpus = Gpus()
        it = Story(*(FakeReplica(f"m-{number}") for number in range(4)), gpus=gpus, gpu="GPU-1")
        await it.deployment.start()
        for number in range(3):
            await it.until(lambda number=number: len(it.used) > number and it.used[number].is_warm)  # type: ignore[misc]
            it.used[number].die("device", "left its GPU")
        await asyncio.sleep(100)
        assert it.deployment.status is Status.FAILED
        gpus.forgive()
        await it.until(lambda: str(it.deployment.status) == Status.READY)

    run(story())


def test_a_worker_is_replaced_while_another_still_starts() -> None:
    """Y24."""

    async def story() -> None:
        it = Story(first := FakeReplica(), FakeReplica("m-1", start_s=40), FakeReplica("m-2"), workers=2)
        starting = asyncio.create_task(it.deployment.start())
        await it.until(lambda: first.is_warm)
        first.die()
        waiting = it.call("a")
        await it.until(lambda: len(it.used) == 3 and it.used[2].calls)
        assert now() < 5
        it.used[2].answer(*it.used[2].calls[0])
        assert text(waiting) == "a"
        await starting
        assert list(it.deployment.workers) == ["m-2", "m-1"]

    run(story())


def test_one_that_could_not_start_is_tried_again_as_soon_as_another_is_warm() -> None:
    """Y24: not only once all have started."""

    async def story() -> None:
        slow = FakeReplica("m-2", start_s=40)
        it = Story(FakeReplica(fails="load"), FakeReplica("m-1", start_s=2), slow, FakeReplica("m-0"), workers=3)
        starting = asyncio.create_task(it.deployment.start())
        await it.until(lambda: len(it.deployment.workers) == 2)
        assert 2 <= now() < 5
        await starting

    run(story())


def test_recycling_does_not_wait_for_the_last_call_of_another_worker() -> None:
    """Y28."""

    async def story() -> None:
        old = [FakeReplica("m-0"), FakeReplica("m-1")]
        it = Story(*old, FakeReplica("m-0.1"), FakeReplica("m-1.1"), workers=2, max_calls=1)
        await it.deployment.start()
        it.calls("ab")
        await turn()
        endless = it.calls("cd")
        old[0].answer(*old[0].calls[0])
        await turn()
        old[0].begin(2)
        await it.until(lambda: len(it.used) == 3)
        old[1].answer(*old[1].calls[0])
        await it.until(lambda: len(it.used) == 4 and it.used[3].is_warm)
        assert now() < 1
        assert not endless[0].done()
        assert not old[0].stops

    run(story())


def test_a_successor_that_takes_for_ever_does_not_switch_recycling_off() -> None:
    """Y28."""

    async def story() -> None:
        old = [FakeReplica("m-0"), FakeReplica("m-1")]
        slow = FakeReplica("m-0.1", start_s=10_000)
        it = Story(*old, slow, FakeReplica("m-1.1"), workers=2, max_calls=1)
        await it.deployment.start()
        it.calls("ab")
        await turn()
        for worker in old:
            worker.answer(*worker.calls[0])
        await it.until(lambda: old[1].stops)
        assert now() < 100
        assert not slow.is_warm

    run(story())


def test_old_workers_have_their_time_although_the_server_stood_still_in_it() -> None:
    """Y23: with a reload."""

    async def story() -> None:
        it = Story(old := FakeReplica(), FakeReplica("m-0.1"), grace_s=5)
        it.stalls.start()
        await it.deployment.start()
        future = await called(it, old, "a")
        reloading = asyncio.create_task(it.deployment.reload([it.make]))
        await it.until(lambda: "m-0.1" in it.deployment.workers)
        await asyncio.sleep(1)
        stand_still(9)
        await asyncio.sleep(3)
        assert not old.stops
        old.answer(old.calls[0][0])
        await reloading
        assert text(future) == "a"
        it.stalls.stop()

    run(story())


def test_no_more_recycled_workers_are_leaving_than_there_are_places_and_none_for_ever() -> None:
    """Y28."""

    async def story() -> None:
        workers = [FakeReplica(f"m-0.{number}") for number in range(4)]
        it = Story(*workers, max_calls=1, grace_s=7)
        await it.deployment.start()
        endless = []
        for number, worker in enumerate(workers[:2]):
            await called(it, worker, f"short {number}")
            endless.append(it.call(f"endless {number}"))
            worker.answer(*worker.calls[0])
            await turn()
            worker.begin()
            if not number:
                await it.until(lambda: workers[1].is_warm)
        assert not workers[0].stops
        await asyncio.sleep(6)
        assert not workers[2].started_at
        await it.until(lambda: workers[2].is_warm)
        assert now() == pytest.approx(7, abs=0.1)
        assert workers[0].stops
        await it.until(lambda: workers[2].calls)
        workers[2].answer(*workers[2].calls[0])
        assert text(endless[0]) == "endless 0"

    run(story())


def test_a_failed_deployment_that_recovers_while_the_server_stops_takes_no_call() -> None:
    """Y32."""

    async def story() -> None:
        broken = [FakeReplica(fails="warm") for _ in range(3)]
        it = Story(worker := FakeReplica(), *broken, FakeReplica("m-4", start_s=1), FakeReplica("m-5"))
        await it.deployment.start()
        worker.die()
        await it.until(lambda: it.deployment.status is Status.FAILED and len(it.used) == 5)
        await it.deployment.drain()
        await asyncio.sleep(100)
        assert str(it.deployment.status) == Status.STOPPING
        assert not it.deployment.workers
        assert len(it.used) == 5, "and none is started any more"
        with pytest.raises(Stopping):
            it.call("a")

    run(story())


def test_nothing_is_renewed_once_the_server_stops() -> None:
    """Y32: neither by recycling nor by a reload; what was begun of either is ended."""

    async def story() -> None:
        old = [FakeReplica("m-0"), FakeReplica("m-1")]
        hung = FakeReplica("m-0.1", start_s=1000)
        it = Story(*old, hung, workers=2, max_calls=2)
        await it.deployment.start()
        running = it.calls("abcd")
        await turn()
        reloading = asyncio.create_task(it.deployment.reload([it.make, it.make]))
        await it.until(lambda: hung.started_at is not None)
        draining = asyncio.create_task(it.deployment.drain())
        await it.until(lambda: hung.stops)
        for _ in range(2):
            for worker in old:
                worker.answer(*worker.calls[-1])
            await turn()
        await draining
        assert [text(future) for future in running] == list("abcd")
        with pytest.raises(ReloadFailed, match="shutting down"):
            await it.deployment.reload([it.make, it.make])
        assert len(it.used) == 3
        await it.deployment.stop(0)
        hung.is_warm = False
        reloading.cancel()

    run(story())


def test_while_it_stops_a_worker_is_replaced_only_where_an_accepted_call_needs_one() -> None:
    """Y32."""

    async def story() -> None:
        workers = [FakeReplica("m-0"), FakeReplica("m-1")]
        it = Story(*workers, FakeReplica("m-2"), FakeReplica("m-3"), workers=2)
        await it.deployment.start()
        futures = it.calls("abc")
        await turn()
        draining = asyncio.create_task(it.deployment.drain())
        await turn()
        workers[0].begin()
        workers[0].die()
        await asyncio.sleep(50)
        assert len(it.used) == 2, "the other serves"
        workers[1].begin()
        workers[1].die()
        await it.until(lambda: len(it.used) > 2 and it.used[2].calls)
        it.used[2].answer(*it.used[2].calls[0])
        await draining
        assert [code(futures[0]), code(futures[1]), text(futures[2])] == ["worker_died", "worker_died", "c"]

    run(story())


def test_while_it_stops_calls_whose_worker_cannot_be_replaced_are_answered_at_once() -> None:
    """Y32."""

    async def story() -> None:
        it = Story(worker := FakeReplica(), *(FakeReplica(fails="warm") for _ in range(9)))
        await it.deployment.start()
        futures = it.calls("ab")
        await turn()
        draining = asyncio.create_task(it.deployment.drain())
        await turn()
        worker.begin()
        worker.die()
        await draining
        assert [code(future) for future in futures] == ["worker_died", "stopping"]
        assert now() < 5

    run(story())


def test_a_gpu_that_is_forgiven_while_the_server_stops_starts_no_worker() -> None:
    """Y32."""

    async def story() -> None:
        gpus = Gpus()
        it = Story(*(FakeReplica(f"m-{number}") for number in range(4)), gpus=gpus, gpu="GPU-1")
        await it.deployment.start()
        for number in range(3):
            await it.until(lambda number=number: len(it.used) > number and it.used[number].is_warm)  # type: ignore[misc]
            it.used[number].die("device", "left its GPU")
        await it.until(lambda: it.deployment.status is Status.FAILED)
        await it.deployment.drain()
        gpus.forgive()
        await asyncio.sleep(100)
        assert len(it.used) == 3

    run(story())


def test_the_calls_of_a_leaving_worker_of_a_failed_deployment_are_refused_when_it_dies() -> None:
    async def story() -> None:
        old, new = FakeReplica(), FakeReplica("m-0.1")
        it = Story(
            old, new, *(FakeReplica(fails="warm") for _ in range(3)), FakeReplica("m-5", start_s=99), max_calls=1
        )
        await it.deployment.start()
        it.call("a")
        await turn()
        running = it.call("b")
        old.answer(*old.calls[0])
        await it.until(lambda: new.is_warm)
        assert [call.body for call in old.calls[-1]] == [b"b"]
        new.die()
        await it.until(lambda: it.deployment.status is Status.FAILED)
        assert not running.done()
        old.die()
        assert code(running) == "not_ready"

    run(story())
