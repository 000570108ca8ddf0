"""The runner of jobs: a training from its submission to what is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import msgspec
import pytest

from modelserve.discovery import ModelRef
from modelserve.errors import Conflict, NotFound
from modelserve.jobs.job import Job, Operation, Status
from modelserve.jobs.pool import FAILED
from tests.jobs.conftest import Open
from tests.jobs.house import END_S, House
from tests.running import are_gone, is_gone
from tests.runtime.workers import until


async def test_a_training_is_run_and_what_it_returned_and_told_is_kept(house: House) -> None:
    submitted = await house.train("steps", n=5)
    assert submitted.status in (Status.QUEUED, Status.RUNNING)
    job = await house.end_of(submitted)
    assert (job.status, job.message, job.output) == (Status.DONE, "", {"steps": 5})
    assert (job.progress, job.metrics, job.attempts) == (1.0, {"loss": 0.2}, 1)
    history = await house.runner.store.history(job.uuid)
    assert [(point.step, point.metrics["loss"]) for point in history] == [(n, 1 / (n + 1)) for n in range(5)]
    assert job.started is not None
    assert job.finished is not None
    assert job.created <= job.started <= job.finished


async def test_what_it_prints_and_keeps_is_in_its_folder(house: House) -> None:
    printing, keeping = await house.train("print"), await house.train("files", n=2)
    assert (await house.end_of(keeping)).status is Status.DONE
    assert (await house.end_of(printing)).status is Status.DONE
    assert "by a child" in house.runner.files.log(printing.uuid).read_text()
    kept = house.runner.files.artifacts(keeping.uuid)
    assert sorted(path.name for path in kept.iterdir()) == ["file-0.txt", "file-1.txt"]


async def test_followers_see_each_change_and_the_end_comes_last(house: House) -> None:
    job = await house.train("heed", n=1)
    seen: list[Job] = []
    async with contextlib.aclosing(house.runner.follow(job)) as changes:
        async for job in changes:
            seen.append(job)
    assert [job.status for job in seen if job.status is not Status.QUEUED] == [Status.RUNNING, Status.DONE]
    async with contextlib.aclosing(house.runner.follow(seen[-1])) as changes:
        assert [job async for job in changes] == seen[-1:]


@pytest.mark.parametrize(
    ("mode", "words"), [("exit3", "exited with status 3"), ("segv", "signal 11 (SIGSEGV)"), ("raise", "exception")]
)
async def test_a_training_that_fails_is_an_error_and_its_slot_is_free(house: House, mode: str, words: str) -> None:
    """H08."""
    failing, next_one = await house.train(mode), await house.train("ok")
    job = await house.end_of(failing)
    assert job.status is Status.ERROR
    assert words in job.message
    assert "hunter2" not in job.message
    assert (await house.end_of(next_one)).status is Status.DONE


async def test_a_killed_training_is_an_error_at_once(house: House) -> None:
    """H08."""
    job = await house.train("sleep", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    process = house.process_of(job)
    assert process is not None
    since = time.monotonic()
    process.kill()
    job = await house.end_of(job)
    assert time.monotonic() - since < 6
    assert (job.status, job.message) == (
        Status.ERROR,
        "The training's process ended before the training had: killed by signal 9 (SIGKILL).",
    )


async def test_a_model_that_cannot_be_loaded_is_an_error_with_the_stage(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_IMPORT", "raise")
    job = await house.end_of(await house.train("ok"))
    assert (job.status, job.message) == (Status.ERROR, "The model could not be loaded; the job's log says why.")
    assert "Traceback" in house.runner.files.log(job.uuid).read_text()


async def test_a_model_that_cannot_be_warmed_can_be_trained(open_house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights may be what it lacks."""
    monkeypatch.setenv("CHAOS_WARM", "raise")
    house = await open_house()
    assert (await house.end_of(await house.train("ok"))).status is Status.DONE


async def test_a_model_without_train_is_an_error(open_house: Open) -> None:
    house = await open_house(ModelRef("plain", "module", "modelserve_plain"))
    assert (await house.end_of(await house.train("ok"))).status is Status.ERROR


async def test_as_many_trainings_run_as_there_are_slots_the_oldest_first(open_house: Open) -> None:
    house = await open_house(train_workers=2)
    jobs = [await house.train("sleep", n=1, text=str(number)) for number in range(4)]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(house.runner.running()))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    assert [(await house.end_of(job)).status for job in jobs] == [Status.DONE] * 4
    watching.cancel()
    assert most == 2
    ended = [await house.now(job) for job in jobs]
    begun = [job.started for job in ended if job.started is not None]
    assert begun == sorted(begun)


async def test_a_training_that_is_cancelled_says_so_at_once_and_nothing_of_it_is_left(house: House) -> None:
    """H04."""
    job, next_one = await house.train("children", text="wait"), await house.train("ok")
    await until(lambda: house.events("children"), within_s=END_S)
    process = house.process_of(job)
    assert process is not None
    family = [process, *process.children(recursive=True)]
    assert len(family) >= 4
    cancelled = await house.runner.cancel(job.deployment, Operation.TRAIN, job.uuid)
    assert cancelled.status is Status.CANCELLED
    assert (await house.end_of(next_one)).status is Status.DONE
    await until(lambda: are_gone(family))
    assert (await house.now(job)).status is Status.CANCELLED


async def test_a_training_may_heed_that_it_is_cancelled(open_house: Open) -> None:
    house = await open_house(train_cancel_s=60)
    job = await house.train("heed", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    process = house.process_of(job)
    assert process is not None
    await house.runner.cancel(job.deployment, Operation.TRAIN, job.uuid)
    await until(lambda: is_gone(process))
    assert house.events("trained")
    assert (await house.now(job)).status is Status.CANCELLED


async def test_a_training_that_is_cancelled_while_its_model_loads_ends_at_once(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(train_cancel_s=60)
    monkeypatch.setenv("CHAOS_IMPORT_S", "300")
    job = await house.train("ok")
    await until(lambda: house.process_of(job))
    await house.runner.cancel(job.deployment, Operation.TRAIN, job.uuid)
    await until(lambda: not house.runner.running())
    assert not house.events("train")


async def test_a_queued_training_that_is_cancelled_is_never_begun(house: House) -> None:
    """H05."""
    running, queued = await house.train("heed", n=2), await house.train("ok", text="queued")
    await house.runner.cancel(queued.deployment, Operation.TRAIN, queued.uuid)
    assert (await house.end_of(running)).status is Status.DONE
    assert (await house.end_of(await house.train("ok", text="next"))).status is Status.DONE
    assert "queued" not in [line["text"] for line in house.events("train")]
    assert (await house.now(queued)).status is Status.CANCELLED


async def test_what_has_ended_cannot_be_cancelled_and_its_record_stays(house: House) -> None:
    """H06, H07."""
    job = await house.end_of(await house.train("ok"))
    with pytest.raises(Conflict):
        await house.runner.cancel(job.deployment, Operation.TRAIN, job.uuid)
    with pytest.raises(NotFound):
        await house.runner.cancel(job.deployment, Operation.PREDICT, job.uuid)
    assert await house.now(job) == job


async def test_a_large_output_is_kept_in_a_file(house: House) -> None:
    """H09."""
    job = await house.end_of(await house.train("big", n=1))
    assert (job.status, job.output) == (Status.DONE, None)
    assert job.output_bytes == house.runner.files.output(job.uuid).stat().st_size > 1_000_000


async def test_files_of_a_job_that_is_cancelled_before_it_begins_are_gone(open_house: Open, tmp_path: Path) -> None:
    """Y5."""
    house = await open_house()
    (tmp_path / "a.txt").write_text("text")
    await house.train("sleep", n=300)
    await until(lambda: house.events("train"), within_s=END_S)
    job = await house.train("upload", file=tmp_path / "a.txt")
    uploads = house.runner.files.uploads(job.uuid)
    assert list(uploads.iterdir())
    await house.runner.cancel(house.name, Operation.TRAIN, job.uuid)
    await until(lambda: not uploads.exists(), within_s=END_S)


async def test_files_of_a_request_are_kept_until_its_job_ends(house: House, tmp_path: Path) -> None:
    """H21."""
    upload = tmp_path / "upload.txt"
    upload.write_text("x" * 10)
    first, job = await house.train("heed", n=1), await house.train("upload", n=2, file=upload)
    uploads = house.runner.files.uploads(job.uuid)
    assert list(uploads.iterdir())
    await house.end_of(first)
    job = await house.end_of(job)
    assert (job.status, job.output["sizes"]) == (Status.DONE, [10, 10])
    await until(lambda: not uploads.exists())


async def test_a_request_that_cannot_be_read_ends_its_job_and_holds_up_no_other(house: House) -> None:
    """X3: a folder stands in its place, or a pipe, of which reading would have no end."""
    first = await house.train("sleep", n=1)
    spoilt = []
    for spoil in (Path.mkdir, os.mkfifo):
        new = house.new(Operation.TRAIN, "ok")
        large = msgspec.structs.replace(new, request=house.runner.files.keep_request(new.uuid, bytes(100_000)))
        spoilt.append(await house.runner.submit(large))
        path = house.runner.files.uploads(new.uuid) / ".request"
        path.unlink()
        spoil(path)
    last = await house.train("ok")
    assert (await house.end_of(first)).status is Status.DONE
    ends = [await house.end_of(job) for job in spoilt]
    assert [(job.status, job.message) for job in ends] == [(Status.ERROR, FAILED.message)] * 2
    assert (await house.end_of(last)).status is Status.DONE


async def test_the_same_key_gives_the_same_job_and_no_second_folder(house: House, tmp_path: Path) -> None:
    """H20."""
    (tmp_path / "a").write_text("a")
    first = await house.train("ok", key="k")
    again = house.new(Operation.TRAIN, "ok", file=tmp_path / "a")
    assert (await house.runner.submit(again, key="k")).uuid == first.uuid
    assert not house.runner.files.folder(again.uuid).exists()
    await house.end_of(first)
    assert len(house.events("train")) == 1


async def test_tens_of_thousands_of_reports_are_taken(house: House) -> None:
    job = await house.end_of(await house.train("steps", n=30_000))
    assert (job.status, job.progress, job.metrics) == (Status.DONE, 1.0, {"loss": 1 / 30_000})
    history = await house.runner.store.history(job.uuid)
    assert 1_000 < len(history) <= 10_000
    assert history[-1].step == 29_999


async def test_what_waits_runs_and_has_ended_is_counted(house: House) -> None:
    running, queued = await house.train("heed", n=300), await house.train("ok")
    await until(lambda: house.runner.running())
    assert house.runner.counts().present[house.name, "train", "running"] == 1
    await until(lambda: house.runner.counts().present[house.name, "train", "queued"] == 1)
    await house.runner.cancel(house.name, Operation.TRAIN, running.uuid)
    await house.end_of(queued)
    ended = house.runner.counts().ended
    assert (ended[house.name, "train", "cancelled"], ended[house.name, "train", "done"]) == (1, 1)
