"""Trainings in real processes: what they tell, how they end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import pytest_asyncio

from modelserve.discovery import ModelRef
from modelserve.errors import NotFound
from modelserve.messages import (
    Call,
    FilePart,
    Part,
    TrainingDone,
    TrainingFailed,
    TrainingProgress,
    TrainingStarted,
    decode_training_event,
)
from modelserve.runtime.fleet import Fleet
from modelserve.runtime.interface import StartFailed, WorkerOptions, WorkerSpec
from modelserve.runtime.priority import NICE
from modelserve.runtime.process import LocalBackend, LocalReplica
from modelserve.settings import Settings
from modelserve.v2.trainings import TRAIN_ERROR
from tests.models.installed import side_log
from tests.running import are_gone
from tests.runtime.workers import CHAOS, Heard, ask, spec, until

SOON_S = 30

AUTHOR = """
import asyncio, threading
from modelserve.v2 import fields, progress

def get_train_args():
    return {"how": fields.Str(required=True)}

async def _asynchronous():
    await asyncio.sleep(0.01)
    progress(0.5)
    return "awaited"

def train(how):
    if how == "async":
        return _asynchronous()
    if how == "thread":
        thread = threading.Thread(target=lambda: progress.log(step=3, loss=0.5))
        thread.start()
        thread.join()
        return "joined"
    if how == "main":
        return threading.current_thread() is threading.main_thread()
"""


class Trained(Heard):
    """What a training told."""

    @property
    def events(self) -> list[Any]:
        return [decode_training_event(part.data) for part in self.parts]

    @property
    def is_over(self) -> bool:
        return bool(
            self.ends or (self.parts and self.parts[-1].last) or (1 in self.answers and not self.answers[1].stream)
        )

    @property
    def last(self) -> Part:
        assert self.parts[-1].last, self.ends
        return self.parts[-1]

    @property
    def output(self) -> Any:
        event = self.events[-1]
        assert isinstance(event, TrainingDone), self.parts[-1]
        return json.loads(bytes(event.output))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of a job."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


@pytest.fixture
def wanted(log: Path, job: Path) -> WorkerSpec:
    """What starts a training."""
    options = WorkerOptions(log_level="info", task="train", max_answer_bytes=30_000_000)
    kept = {"log_path": str(job / "log"), "artifacts": str(job / "artifacts")}
    return msgspec.structs.replace(spec(), options=options, **kept)


@pytest.fixture
def replica(wanted: WorkerSpec, folder: Path) -> LocalReplica:
    """A training that is not started yet."""
    return LocalBackend(str(folder)).replica(wanted)


@pytest.fixture
def trained() -> Trained:
    """A listener."""
    return Trained()


@pytest_asyncio.fixture
async def begun(replica: LocalReplica, trained: Trained, folder: Path) -> AsyncIterator[LocalReplica]:
    """A training that waits for its call, of which nothing may be left in the end."""
    descriptors = psutil.Process().num_fds()
    await replica.start(trained)
    yield replica
    await replica.stop(0)
    await until(lambda: not list(folder.iterdir()))
    assert len(trained.ends) == 1
    await until(lambda: psutil.Process().num_fds() <= descriptors)


Train = Callable[..., Awaitable[Trained]]


@pytest.fixture
def train(begun: LocalReplica, trained: Trained) -> Train:
    """Return a function that trains in one mode, and returns what was told once it is over."""

    async def train(mode: str, **arguments: object) -> Trained:
        begun.send([ask(1, mode, **arguments)])
        await until(lambda: trained.is_over, within_s=SOON_S)
        return trained

    return train


def children(log: Path) -> list[psutil.Process]:
    """Return the processes that a training of the mode "children" has started, once all run."""
    pids = [pid for line in side_log(log, "children") for pid in line["pids"]]
    return [psutil.Process(pid) for pid in pids] if len(side_log(log, "child")) == 2 else []


async def test_a_training_tells_that_it_began_and_what_it_returned(train: Train, log: Path) -> None:
    told = await train("ok", n=2, text="hello")
    assert told.answers[1].stream
    assert told.events[0] == TrainingStarted()
    assert told.output == {"mode": "ok", "n": 2.0, "text": "hello"}
    assert [event["event"] for event in side_log(log)] == ["import", "args", "metadata", "train", "trained"]


async def test_a_training_does_not_warm_its_model(train: Train, log: Path) -> None:
    await train("ok")
    assert side_log(log, "warm") == []


async def test_what_it_reports_comes_while_it_runs(begun: LocalReplica, trained: Trained) -> None:
    begun.send([ask(1, "steps", n=500)])
    await until(lambda: trained.is_over, within_s=SOON_S)
    told = [event for event in trained.events if isinstance(event, TrainingProgress)]
    assert [event.step for event in told if event.metrics] == list(range(500))
    assert told[-1].progress == 1.0
    assert trained.output == {"steps": 500}


async def test_parts_are_not_bound_to_what_a_client_reads(train: Train) -> None:
    assert len([part for part in (await train("steps", n=1000)).parts if part.data]) > 900


async def test_what_a_training_keeps_and_prints_is_in_its_folder(train: Train, job: Path) -> None:
    told = await train("files", n=3)
    assert told.output == {"folder": str(job / "artifacts")}
    assert sorted(path.name for path in (job / "artifacts").iterdir()) == [f"file-{number}.txt" for number in range(3)]


async def test_a_training_without_files_to_keep_makes_no_folder(train: Train, job: Path) -> None:
    await train("ok")
    assert [path.name for path in job.iterdir()] == ["log"]


async def test_all_that_is_printed_logged_or_written_by_children_goes_to_its_log(
    train: Train, job: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (job / "log").write_text("what was there before stays\n")
    await train("print")
    lines = (job / "log").read_text().splitlines()
    assert lines[0] == "what was there before stays"
    assert lines[1] == "printed"
    assert "INFO chaos logged worker=chaos-0" in lines[2]
    assert lines[3:] == ["to one", "to two", "by a child"]
    assert capfd.readouterr() == ("", "")


async def test_only_its_owner_may_read_its_log(train: Train, job: Path) -> None:
    await train("ok")
    assert (job / "log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("mode", "text", "in_log"),
    [
        ("raise", "RuntimeError: password=hunter2", "RuntimeError: password=hunter2"),
        ("oom", "MemoryError", "MemoryError: the training asked"),
        ("sysexit", "SystemExit: 0", "SystemExit"),
        ("kbint", "KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
async def test_an_exception_is_a_fixed_sentence_for_the_client_and_a_traceback_in_the_log(
    train: Train, job: Path, mode: str, text: str, in_log: str
) -> None:
    """A05."""
    told = await train(mode)
    failure = told.last.failure
    assert failure is not None
    assert (failure.status, failure.code, failure.message) == (500, "model_error", TRAIN_ERROR)
    assert text in failure.log
    assert told.events[-1] == TrainingFailed(heeded=False)
    written = (job / "log").read_text()
    assert "Traceback (most recent call last)" in written
    assert in_log in written


async def test_an_exception_that_ends_whoever_looks_at_it_is_one_like_any_other(train: Train) -> None:
    """A12."""
    failure = (await train("deadly")).last.failure
    assert failure is not None
    assert (failure.status, failure.code, failure.message) == (500, "model_error", TRAIN_ERROR)


async def test_an_output_that_is_too_large_is_a_bad_answer(train: Train, job: Path) -> None:
    """H09."""
    says = "max_answer_bytes is 30000000"
    failure = (await train("big", n=40)).last.failure
    assert failure is not None
    assert failure.code == "bad_answer"
    assert says in failure.log
    assert says in (job / "log").read_text()


async def test_an_output_that_json_cannot_say_is_told_and_the_log_says_where(train: Train, job: Path) -> None:
    """H09, V13: the work is done."""
    told = await train("notjson")
    assert told.last.failure is None
    assert told.output["deep"][0]["bad"] == "object"
    assert "deep[0].bad: type object" in (job / "log").read_text()


async def test_a_large_output_comes_whole(train: Train) -> None:
    """H09."""
    told = await train("big", n=20)
    assert len(told.output["text"]) == 20 * 1024 * 1024
    assert told.ends == [], "it waits until it is read"


@pytest.mark.parametrize(
    ("mode", "detail"), [("exit3", "exited with status 3"), ("segv", "killed by signal 11 (SIGSEGV)")]
)
async def test_a_crash_is_told_with_its_reason_within_two_seconds(
    train: Train, begun: LocalReplica, job: Path, log: Path, mode: str, detail: str
) -> None:
    """H08."""
    told = await train(mode)
    late_s = time.monotonic() - side_log(log, "train")[0]["monotonic_s"]
    assert [end.detail for end in told.ends] == [detail]
    assert late_s < 2 * 3
    assert told.events == [TrainingStarted()]
    assert ("Segmentation fault" in (job / "log").read_text()) == (mode == "segv")


async def test_arguments_that_are_not_valid_answer_without_a_stream(train: Train, log: Path) -> None:
    told = await train("no such mode")
    assert told.answers[1].failure is not None
    assert told.answers[1].failure.status == 422
    assert side_log(log, "train") == []


async def test_a_training_reads_its_files_for_as_long_as_it_runs(
    begun: LocalReplica, trained: Trained, tmp_path: Path
) -> None:
    """H21."""
    (tmp_path / "upload").write_bytes(b"x" * 1000)
    files = [FilePart("file", str(tmp_path / "upload"), "text/csv", "data.csv", 1000)]
    begun.send([Call(1, content_type="multipart/form-data", form=[("mode", "upload")], files=files)])
    await until(lambda: trained.is_over, within_s=SOON_S)
    assert trained.output == {"sizes": [1000] * 3, "name": "data.csv", "path": str(tmp_path / "upload")}


class TestCancelling:
    async def test_a_training_that_looks_ends_by_itself_and_says_so(
        self, begun: LocalReplica, trained: Trained, log: Path
    ) -> None:
        """H04."""
        begun.send([ask(1, "heed")])
        await until(lambda: side_log(log, "train"))
        begun.cancel([2])  # another call
        begun.cancel([1])
        await until(lambda: trained.is_over, within_s=SOON_S)
        event = trained.events[-1]
        assert (event.heeded, trained.output) == (True, {"heeded": True})

    async def test_a_training_that_does_not_look_has_not_heeded(
        self, begun: LocalReplica, trained: Trained, log: Path
    ) -> None:
        begun.send([ask(1, "sleep", n=0.5)])
        await until(lambda: side_log(log, "train"))
        begun.cancel([1])
        await until(lambda: trained.is_over, within_s=SOON_S)
        assert trained.events[-1].heeded is False

    async def test_one_that_has_not_begun_is_never_run(self, begun: LocalReplica, trained: Trained, log: Path) -> None:
        """H05."""
        begun.cancel([1])
        begun.send([ask(1, "heed")])
        await until(lambda: trained.is_over, within_s=SOON_S)
        assert trained.answers[1].failure is not None
        assert trained.answers[1].failure.code == "cancelled"
        assert side_log(log, "train") == []

    async def test_that_the_server_stops_asks_a_training_to_end_too(
        self, begun: LocalReplica, trained: Trained, log: Path
    ) -> None:
        """G04."""
        begun.send([ask(1, "heed")])
        await until(lambda: side_log(log, "train"))
        await begun.stop(SOON_S)
        assert trained.events[-1].heeded is True
        assert [end.reason for end in trained.ends] == ["stopped"]

    async def test_one_that_is_stopped_before_its_call_ends_at_once(
        self, begun: LocalReplica, trained: Trained
    ) -> None:
        since = time.monotonic()
        await begun.stop(SOON_S)
        assert time.monotonic() - since < 10


class TestChildren:
    @pytest.mark.parametrize("how", ["returns", "is cancelled", "dies"])
    async def test_nothing_that_a_training_has_started_outlives_it(
        self, begun: LocalReplica, trained: Trained, log: Path, how: str
    ) -> None:
        """H04: fork and spawn of multiprocessing, a program, and one in a session of its own."""
        begun.send([ask(1, "children", text="" if how == "returns" else "wait")])
        await until(lambda: children(log), within_s=SOON_S)
        family = children(log)
        assert len(family) == 4
        if how == "returns":
            await until(lambda: trained.is_over, within_s=SOON_S)
            await begun.stop(1)
        elif how == "is cancelled":
            begun.end("cancelled", "its job was cancelled")
        else:
            os.kill(begun.pid, 9)
        await until(lambda: trained.ends, within_s=SOON_S)
        await until(lambda: are_gone(family), within_s=SOON_S)

    async def test_children_do_what_they_are_started_for(self, train: Train, log: Path) -> None:
        told = await train("children", n=0.1, text="join")
        assert told.output["exits"] == [0, 0]
        assert sorted(line["pid"] for line in side_log(log, "child")) == sorted(told.output["pids"][:2])


@pytest_asyncio.fixture
async def author(tmp_path: Path, wanted: WorkerSpec, folder: Path) -> AsyncIterator[LocalReplica]:
    """A training of a small model in a file."""
    (tmp_path / "author.py").write_text(AUTHOR)
    ref = ModelRef("author", "file", str(tmp_path / "author.py"))
    replica = LocalBackend(str(folder)).replica(msgspec.structs.replace(wanted, ref=ref, name="author-0"))
    yield replica
    await replica.stop(5)


@pytest.mark.parametrize(
    ("how", "output", "told"),
    [
        ("async", "awaited", [TrainingProgress(0.5)]),
        ("thread", "joined", [TrainingProgress(metrics={"loss": 0.5}, step=3)]),
        ("main", True, []),
    ],
)
async def test_a_training_may_be_asynchronous_or_in_threads_and_begins_on_the_main_one(
    author: LocalReplica, trained: Trained, how: str, output: Any, told: list[TrainingProgress]
) -> None:
    description = await author.start(trained)
    assert (description.implements, [argument.name for argument in description.train]) == (
        ["get_train_args", "train"],
        ["how"],
    )
    author.send([Call(1, query=f"how={how}")])
    await until(lambda: trained.is_over, within_s=SOON_S)
    assert trained.output == output
    assert trained.events[1:-1] == told


async def test_a_log_that_cannot_be_opened_fails_the_start(wanted: WorkerSpec, folder: Path, trained: Trained) -> None:
    away = msgspec.structs.replace(wanted, log_path="/proc/no/such/folder/log")
    with pytest.raises(StartFailed, match="cannot be made"):
        await LocalBackend(str(folder)).replica(away).start(trained)
    await until(lambda: not list(folder.iterdir()))


class TestInTheFleet:
    @pytest.fixture
    def settings(self, log: Path, folder: Path) -> Settings:
        return Settings(workers=1, temp_dir=str(folder), log_level="error", max_answer_bytes=1_000_000)

    async def test_a_training_has_the_settings_of_its_deployment_and_a_place_beside_its_workers(
        self, settings: Settings, trained: Trained, job: Path
    ) -> None:
        async with Fleet([CHAOS], settings) as fleet:
            await fleet.started()
            replica = fleet.training("chaos", 1, log_path=str(job / "log"), artifacts=str(job / "artifacts"))
            assert isinstance(replica, LocalReplica)
            assert replica.name == "chaos-train-1"
            await replica.start(trained)
            process = psutil.Process(replica.pid)
            assert set(process.cpu_affinity()) <= set(psutil.Process().cpu_affinity())
            replica.send([ask(1, "big", n=2)])
            await until(lambda: trained.is_over, within_s=SOON_S)
            assert trained.last.failure is not None
            assert "max_answer_bytes is 1000000" in trained.last.failure.log
            await replica.stop(5)

    async def test_its_log_has_what_authors_log_whatever_the_operator_logs(
        self, settings: Settings, trained: Trained, job: Path
    ) -> None:
        async with Fleet([CHAOS], settings) as fleet:
            replica = fleet.training("chaos", 0, log_path=str(job / "log"), artifacts="")
            await replica.start(trained)
            replica.send([ask(1, "print")])
            await until(lambda: trained.is_over, within_s=SOON_S)
            await replica.stop(5)
        assert "INFO chaos logged" in (job / "log").read_text()

    async def test_there_is_none_of_an_unknown_deployment(self, settings: Settings) -> None:
        async with Fleet([CHAOS], settings) as fleet:
            with pytest.raises(NotFound):
                fleet.training("other", 0, log_path="", artifacts="")

    async def test_predictions_go_on_beside_four_trainings_that_want_every_processor(
        self, settings: Settings, job: Path
    ) -> None:
        """F04."""
        async with Fleet([CHAOS], settings) as fleet:
            await fleet.started()
            replicas = [fleet.training("chaos", each, log_path=str(job / "log"), artifacts="") for each in range(4)]
            heard = [Trained() for _ in replicas]
            for replica, ear in zip(replicas, heard, strict=True):
                await replica.start(ear)
                replica.send([ask(1, "spin", n=1000)])
            await until(lambda: all(ear.parts for ear in heard), within_s=SOON_S)
            assert {os.getpriority(os.PRIO_PROCESS, replica.pid) for replica in replicas} == {NICE}
            times = []
            for _ in range(100):
                since = time.monotonic()
                assert (await fleet.find("chaos").call(ask(0))).failure is None
                times.append(time.monotonic() - since)
            assert sorted(times)[50] < 0.5
            assert not any(ear.is_over for ear in heard)
            await asyncio.gather(*(replica.stop(0) for replica in replicas))

    async def test_arguments_are_validated_by_an_ordinary_worker(self, settings: Settings, log: Path) -> None:
        async with Fleet([CHAOS], settings) as fleet:
            await fleet.started()
            calls = [ask(0, "steps", n=3), ask(0, "no such mode")]
            for call in calls:
                call.operation = "train"
            good, bad = await asyncio.gather(*map(fleet.find("chaos").call, calls))
            assert json.loads(good.body) == {"mode": "steps", "n": 3.0, "text": "", "file": None}
            assert bad.failure is not None
            assert bad.failure.status == 422
        assert side_log(log, "train") == []
