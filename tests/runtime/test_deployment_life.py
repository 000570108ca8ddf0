"""How a deployment replaces workers: within a budget, before they grow too old or large, and for a new version."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

from modelserve.errors import NotReady
from modelserve.runtime.budget import Gpus
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.status import ReloadFailed, Status
from tests.runtime.fakes import FakeReplica, run
from tests.runtime.story import Story, code, now, text, turn


async def die_in_turn(it: Story, count: int) -> None:
    """Let each worker die as soon as it is warm."""
    for number in range(count):
        await it.until(lambda number=number: len(it.used) > number and it.used[number].is_warm)  # type: ignore[misc]
        it.used[number].die()


def test_workers_that_keep_dying_fail_the_deployment_until_its_budget_allows_one_more() -> None:
    """A11."""

    async def story() -> None:
        it = Story(*(FakeReplica(f"m-{number}") for number in range(10)), restart_budget=3)
        await it.deployment.start()
        await die_in_turn(it, 4)
        waiting = it.call("waits")
        await it.until(lambda: it.deployment.status is Status.FAILED)
        assert code(waiting) == "not_ready"
        with pytest.raises(NotReady, match="tried again"):
            it.call("b")
        report = it.deployment.status_report()
        assert (report.restarts, report.message) == (3, "It has no worker: its workers keep dying.")
        assert report.workers[0].status == "waiting"
        await it.until(lambda: it.deployment.status is Status.READY)
        assert 60 <= now() <= 61
        assert len(it.used) == 5, "no more than three replacements in a minute"
        future = it.call("c")
        await turn()
        it.used[4].answer(*it.used[4].calls[0])
        assert text(future) == "c"
        assert b'modelserve_worker_restarts_total{deployment="m",reason="signal"} 4.0' in it.metrics.render()

    run(story())


def test_a_worker_that_serves_on_keeps_the_deployment_ready_beyond_the_budget() -> None:
    async def story() -> None:
        it = Story(*(FakeReplica(f"m-{number}") for number in range(10)), workers=2, restart_budget=1)
        await it.deployment.start()
        it.used[0].die()
        await it.until(lambda: len(it.used) == 3 and it.used[2].is_warm)
        it.used[2].die()
        await asyncio.sleep(5)
        assert it.deployment.status is Status.READY
        assert len(it.used) == 3

    run(story())


def test_a_gpu_that_three_workers_had_to_leave_is_used_no_more_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P02."""

    async def story() -> None:
        gpus = Gpus()
        it = Story(*(FakeReplica(f"m-{number}") for number in range(10)), gpus=gpus, gpu="GPU-1")
        await it.deployment.start()
        for number in range(3):
            await it.until(lambda number=number: len(it.used) > number and it.used[number].is_warm)  # type: ignore[misc]
            it.used[number].die("device", "left its GPU")
        await asyncio.sleep(1000)
        assert len(it.used) == 3
        assert gpus.failed == ["GPU-1"]
        assert it.deployment.status is Status.FAILED
        report = it.deployment.status_report()
        assert (report.workers[0].status, report.workers[0].gpu) == ("down", "GPU-1")
        assert report.message == "It has no worker: GPU GPU-1 has failed."
        gpus.forgive()
        await it.deployment.reload([it.make])
        assert str(it.deployment.status) == Status.READY
        it.used[3].die()
        await it.until(lambda: len(it.used) == 5 and it.used[4].is_warm)

    with caplog.at_level(logging.ERROR):
        run(story())
    assert sum("GPU GPU-1 has failed: 3" in record.getMessage() for record in caplog.records) == 1


async def serve(it: Story, worker: FakeReplica, body: str) -> None:
    """Make a call and let a worker answer it."""
    future = it.call(body)
    await turn()
    worker.begin()
    worker.answer(*worker.calls[-1])
    assert text(future) == body


def test_a_worker_is_recycled_after_its_calls_and_none_of_them_fails() -> None:
    """A22."""

    async def story() -> None:
        it = Story(old := FakeReplica(), new := FakeReplica("m-0.1", start_s=2), max_calls=10)
        await it.deployment.start()
        for number in range(11):
            await serve(it, old, str(number))
        await asyncio.sleep(1)
        await serve(it, old, "the old one serves until the new one is warm")
        running = it.call("running")
        await it.until(lambda: new.is_warm)
        await turn()
        after = it.call("after")
        await turn()
        assert new.frames == [[b"after"]]
        statuses = [(worker.name, worker.status) for worker in it.deployment.status_report().workers]
        assert statuses == [("m-0.1", "warm"), ("m-0", "leaving")]
        assert old.stops == []
        old.answer(*old.calls[-1])
        new.answer(*new.calls[0])
        assert (text(running), text(after)) == ("running", "after")
        await it.until(lambda: old.stops)
        await turn()
        report = it.deployment.status_report()
        assert [worker.name for worker in report.workers] == ["m-0.1"]
        assert report.restarts == 0
        assert report.last_exit is not None
        assert report.last_exit.reason == "recycled"
        assert it.deployment.status is Status.READY
        assert b'exits_total{deployment="m",reason="recycled"} 1.0' in it.metrics.render()

    run(story())


def test_workers_are_recycled_one_at_a_time() -> None:
    async def story() -> None:
        replicas = [FakeReplica(f"m-{number}", start_s=2 if number > 1 else 0) for number in range(4)]
        it = Story(*replicas, workers=2, max_calls=1)
        await it.deployment.start()
        it.calls("ab")
        await turn()
        for worker in replicas[:2]:
            worker.answer(*worker.calls[0])
        starting = []
        while not replicas[3].is_warm:
            starting.append(sum(it.started_at is not None and not it.is_warm and not it.stops for it in replicas))
            await asyncio.sleep(0.1)
        assert max(starting) == 1
        await it.until(lambda: all(worker.stops for worker in replicas[:2]))

    run(story())


def test_where_a_fresh_worker_cannot_start_the_old_one_serves_on_and_it_is_tried_later() -> None:
    async def story() -> None:
        it = Story(old := FakeReplica(), FakeReplica(fails="warm"), new := FakeReplica("m-0.2"), max_calls=1)
        await it.deployment.start()
        await serve(it, old, "a")
        await asyncio.sleep(1)
        await serve(it, old, "b")
        assert it.deployment.failure is None
        assert not new.is_warm
        await it.until(lambda: new.is_warm)
        assert now() >= 30

    run(story())


def test_a_worker_that_has_grown_too_large_is_recycled() -> None:
    async def story() -> None:
        old, new = FakeReplica(), FakeReplica("m-0.1")
        old.pid = os.getpid()  # larger than a megabyte for sure
        it = Story(old, new, max_rss_bytes=1024**2)
        await it.deployment.start()
        await it.until(lambda: old.stops)
        await asyncio.sleep(100)
        await serve(it, new, "a")
        await it.deployment.stop(0)

    run(story())


def test_a_reload_moves_calls_to_the_new_workers_and_lets_the_old_ones_finish() -> None:
    async def story() -> None:
        old = [FakeReplica(f"m-{number}", version="1") for number in range(2)]
        new = [FakeReplica(f"m-{number}.1", version="2", start_s=1) for number in range(2)]
        it = Story(*old, *new, workers=2)
        await it.deployment.start()
        running = it.calls("ab")
        await turn()
        reloading = asyncio.create_task(it.deployment.reload([it.make, it.make]))
        await it.until(lambda: new[0].is_warm)
        assert not new[1].is_warm, "one after the other"
        assert it.deployment.status_report().version == "1"
        await it.until(lambda: new[1].is_warm)
        await turn()
        assert it.deployment.status_report().version == "2"
        later = it.calls("cd")
        await turn()
        assert [worker.frames for worker in new] == [[[b"c"]], [[b"d"]]]
        assert not reloading.done()
        for worker in (*old, *new):
            worker.answer(*worker.calls[0])
        await reloading
        assert [text(future) for future in (*running, *later)] == list("abcd")
        assert all(worker.stops for worker in old)
        report = it.deployment.status_report()
        assert report.last_reload is not None
        assert report.last_reload.ok
        assert (report.restarts, report.status) == (0, "ready")

    run(story())


def test_a_reload_whose_last_worker_fails_keeps_all_old_ones_and_says_why() -> None:
    async def story() -> None:
        old = [FakeReplica("m-0"), FakeReplica("m-1")]
        new = [FakeReplica("m-0.1"), FakeReplica("m-1.1", fails="load")]
        it = Story(*old, *new, workers=2)
        await it.deployment.start()
        with pytest.raises(ReloadFailed, match="could not load the model: It did not start"):
            await it.deployment.reload([it.make, it.make])
        assert new[0].stops
        assert not any(worker.stops for worker in old)
        it.calls("ab")
        await turn()
        assert [worker.frames for worker in old] == [[[b"a"]], [[b"b"]]]
        report = it.deployment.status_report()
        assert report.last_reload is not None
        assert "It did not start." in report.last_reload.message
        assert (report.status, report.message) == ("ready", "")

    run(story())


def test_a_new_worker_that_dies_while_the_others_start_fails_the_reload() -> None:
    async def story() -> None:
        new = FakeReplica("m-0.1")
        it = Story(FakeReplica("m-0"), FakeReplica("m-1"), new, FakeReplica("m-1.1", start_s=2), workers=2)
        await it.deployment.start()
        reloading = asyncio.create_task(it.deployment.reload([it.make, it.make]))
        await it.until(lambda: new.is_warm)
        new.die()
        with pytest.raises(ReloadFailed):
            await reloading
        assert it.deployment.workers == {"m-0": 4_194_305, "m-1": 4_194_305}

    run(story())


def test_calls_an_old_worker_does_not_finish_in_time_are_run_by_the_new_one() -> None:
    async def story() -> None:
        it = Story(old := FakeReplica(), new := FakeReplica("m-0.1"), grace_s=5)
        await it.deployment.start()
        running = it.call("a")
        await turn()
        old.begin()
        await it.deployment.reload([it.make])
        assert now() == pytest.approx(5)
        await turn()
        new.answer(*new.calls[0])
        assert text(running) == "a"

    run(story())


def test_reloads_wait_for_each_other() -> None:
    async def story() -> None:
        it = Story(*(FakeReplica(f"m-0.{number}", start_s=1) for number in range(3)))
        await it.deployment.start()
        await asyncio.gather(it.deployment.reload([it.make]), it.deployment.reload([it.make]))
        assert [worker.started_at for worker in it.used] == [0, 1, 2]
        assert list(it.deployment.workers) == ["m-0.2"]

    run(story())


def test_a_reload_revives_a_deployment_whose_model_could_not_start() -> None:
    async def story() -> None:
        it = Story(FakeReplica(fails="load"), good := FakeReplica("m-0.1"), again := FakeReplica("m-0.1"))
        await it.deployment.start()
        assert it.deployment.status is Status.FAILED
        await it.deployment.reload([it.make])
        await serve(it, good, "a")
        good.die()
        await it.until(lambda: again.is_warm)

    run(story())


def test_an_old_worker_that_dies_while_the_new_version_starts_is_replaced_meanwhile() -> None:
    async def story() -> None:
        it = Story(old := FakeReplica(), FakeReplica("m-0.1", start_s=5), between := FakeReplica("m-0"))
        await it.deployment.start()
        reloading = asyncio.create_task(it.deployment.reload([it.make]))
        await turn()
        old.die()
        await it.until(lambda: between.is_warm)
        await serve(it, between, "a")
        await reloading
        assert list(it.deployment.workers) == ["m-0.1"]
        assert between.stops

    run(story())


def test_a_reload_that_is_quicker_than_a_replacement_wins() -> None:
    async def story() -> None:
        it = Story(old := FakeReplica(), slow := FakeReplica("m-0", start_s=9), quick := FakeReplica("m-0.1"))
        await it.deployment.start()
        old.die()
        await it.until(lambda: slow.started_at is not None)
        await it.deployment.reload([it.make])
        await asyncio.sleep(20)
        assert slow.stops
        assert list(it.deployment.workers) == ["m-0.1"]
        await serve(it, quick, "a")

    run(story())


def test_stopping_in_the_midst_of_a_reload_ends_old_and_new() -> None:
    async def story() -> None:
        it = Story(old := FakeReplica(), new := FakeReplica("m-0.1"), grace_s=100)
        await it.deployment.start()
        running = it.call("a")
        await turn()
        reloading = asyncio.create_task(it.deployment.reload([it.make]))
        await it.until(lambda: new.is_warm)
        await it.deployment.stop(1.0)
        assert code(running) == "stopping"
        assert (old.stops[:1], new.stops[:1]) == ([1.0], [1.0])
        await reloading

    run(story())


def test_a_report_says_all_there_is_of_a_worker() -> None:
    async def story() -> None:
        it = Story(FakeReplica(), FakeReplica("m-1", start_s=5), workers=2)
        starting = asyncio.create_task(it.deployment.start())
        await asyncio.sleep(1)
        it.calls("abc")
        await turn()
        report = it.deployment.status_report()
        warm, coming = report.workers
        assert (warm.name, warm.status, warm.pid, warm.calls, warm.rss_bytes) == ("m-0", "warm", 4_194_305, 1, 0)
        assert warm.started is not None
        assert warm.started.tzinfo is not None
        assert (coming.name, coming.status, coming.pid) == ("m-1", "starting", 0)
        assert (report.queue_calls, report.queue_bytes, report.last_exit) == (2, 2, None)
        assert b'modelserve_queue_calls{deployment="m"} 2.0' in it.metrics.render()
        await starting

    run(story())


def test_a_deployment_makes_nothing_run_before_it_starts() -> None:
    assert isinstance(Story().deployment, Deployment)
