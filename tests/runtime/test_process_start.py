"""The start of a worker that goes wrong: what it says, how long it takes, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from modelserve.runtime.interface import StartFailed
from modelserve.runtime.process import LocalBackend, LocalReplica
from tests.models.installed import side_log
from tests.runtime.workers import Heard, ask, spec, until

pytestmark = pytest.mark.usefixtures("log")


@pytest.mark.parametrize(
    ("variable", "fault", "stage", "words"),
    [
        ("CHAOS_IMPORT", "raise", "load", "RuntimeError: CHAOS_IMPORT asked for this"),
        ("CHAOS_ARGS", "valueerror", "describe", "ValueError: CHAOS_ARGS asked for this"),
        ("CHAOS_WARM", "raise", "warm", "RuntimeError: CHAOS_WARM asked for this"),
        ("CHAOS_WARM", "exit", "warm", "exited with status 3 before its model was ready"),
        ("CHAOS_WARM", "segv", "warm", "killed by signal 11 (SIGSEGV) before its model was ready"),
    ],
)
async def test_a_start_that_fails_says_in_which_stage_and_why_and_leaves_nothing(
    replica: LocalReplica, heard: Heard, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, fault: str,
    stage: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, fault)
    with pytest.raises(StartFailed) as caught:
        await replica.start(heard)
    assert (caught.value.failed.stage, heard.ends) == (stage, [])
    assert words in caught.value.failed.message
    await until(lambda: not list(folder.iterdir()))
    assert not psutil.pid_exists(replica.pid)


async def test_a_start_that_is_cancelled_leaves_no_process_and_no_folder(
    replica: LocalReplica, heard: Heard, folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_WARM", "hang")
    starting = asyncio.create_task(replica.start(heard))
    await until(lambda: side_log(log, "warm"))
    worker = psutil.Process(replica.pid)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not worker.is_running()
    await until(lambda: not list(folder.iterdir()))
    assert not heard.ends


async def test_a_worker_that_cannot_be_made_is_a_failed_start(folder: Path, heard: Heard) -> None:
    """As when there is no room for another file, folder or process."""
    replica = LocalBackend(str(folder / "nosuch" / "run")).replica(spec())
    with pytest.raises(StartFailed, match=r"A worker cannot be made: .*No such file"):
        await replica.start(heard)
    assert replica.pid == 0


@pytest.mark.parametrize(
    ("variable", "setting", "stage"),
    [("CHAOS_IMPORT", "load_timeout_s", "load"), ("CHAOS_WARM", "warm_timeout_s", "warm")],
)
@pytest.mark.parametrize("fault", ["hang", "spin", "stop"])
async def test_a_start_that_takes_longer_than_its_stage_may_is_ended_and_names_the_setting(
    folder: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch, variable: str, setting: str, stage: str, fault: str
) -> None:
    monkeypatch.setenv(variable, fault)
    bounds = {"load_timeout_s": 60.0, "warm_timeout_s": 60.0, setting: 1.5}
    replica = LocalBackend(str(folder)).replica(msgspec.structs.replace(spec(), **bounds))
    since = time.monotonic()
    with pytest.raises(StartFailed, match=f"within {setting}, which is 1.5 s: raise it") as caught:
        await replica.start(heard)
    assert 1.5 <= time.monotonic() - since < 15
    assert caught.value.failed.stage == stage
    assert not psutil.pid_exists(replica.pid)
    await until(lambda: not list(folder.iterdir()))


async def test_a_worker_that_is_warm_in_time_is_bound_by_no_time_of_its_start(folder: Path, heard: Heard) -> None:
    replica = LocalBackend(str(folder)).replica(msgspec.structs.replace(spec(), load_timeout_s=20, warm_timeout_s=0.5))
    await replica.start(heard)
    replica.send([ask(1, "sleep", n=1)])
    await until(lambda: heard.answers)
    assert heard.answers[1].failure is None
    await replica.stop(5)


async def test_a_worker_whose_death_could_not_be_seen_is_a_failed_start_and_leaves_nothing(
    replica: LocalReplica, heard: Heard, folder: Path
) -> None:
    """The process is there, and then there is no descriptor left for the pidfd."""
    descriptors, most = psutil.Process().num_fds(), resource.getrlimit(resource.RLIMIT_NOFILE)
    children = psutil.Process().children()
    asked = [fcntl.F_SETFL]

    def take_the_rest(event: str, arguments: tuple[object, ...]) -> None:
        if event == "fcntl.fcntl" and arguments[1] in asked:
            asked.clear()
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))

    sys.addaudithook(take_the_rest)  # no hook can be removed; this one does nothing from now on
    try:
        with pytest.raises(StartFailed, match=r"A worker cannot be made: .*Too many open files"):
            await asyncio.wait_for(replica.start(heard), 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    await until(lambda: psutil.Process().num_fds() <= descriptors)
    await until(lambda: not list(folder.iterdir()))
    assert psutil.Process().children() == children
