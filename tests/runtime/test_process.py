"""The handle on one worker, with real processes that are started, asked, broken, stopped and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import uvloop

from modelserve.discovery import ModelRef
from modelserve.runtime.process import LocalBackend, LocalReplica
from tests.models.installed import side_log
from tests.runtime.workers import CHAOS, Heard, ask, spec, until

CLOSER = """
import os, time

def predict():
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.close(int(name))
        except OSError:
            pass
    time.sleep(300)
"""


pytestmark = pytest.mark.usefixtures("log")


def began(log: Path, mode: str) -> bool:
    return any(line["mode"] == mode for line in side_log(log, "predict"))


def test_calls_sent_to_a_worker_that_has_just_died_are_lost_without_a_word(folder: Path, heard: Heard) -> None:
    """A02: on the server's own loop the channel closes some turns before the death is known, and then takes nothing."""

    async def story() -> None:
        replica = LocalBackend(str(folder)).replica(spec())
        await replica.start(heard)
        os.kill(replica.pid, signal.SIGKILL)
        deadline = time.monotonic() + 15
        while not heard.ends:
            replica.send([ask(1)])
            assert time.monotonic() < deadline
            await asyncio.sleep(0)

    uvloop.run(story())
    assert heard.answers == {}


async def test_a_start_returns_the_description_of_a_warm_model(replica: LocalReplica, heard: Heard, log: Path) -> None:
    description = await replica.start(heard)
    assert description.metadata.name == "Chaos"
    assert side_log(log, "warmed")[0]["pid"] == replica.pid
    assert replica.name == "chaos-0"
    await replica.stop(1)


async def test_a_call_is_answered_under_its_id(warm: LocalReplica, heard: Heard) -> None:
    warm.send([ask(17, text="hello")])
    await until(lambda: heard.answers)
    answer = heard.answers[17]
    assert (answer.content_type, answer.failure) == ("application/json", None)
    assert json.loads(answer.body)["predictions"]["text"] == "hello"


async def test_a_frame_of_many_calls_is_answered_call_by_call(warm: LocalReplica, heard: Heard) -> None:
    warm.send([ask(number, text=str(number)) for number in range(200)])
    await until(lambda: len(heard.answers) == 200)
    for number, answer in heard.answers.items():
        assert json.loads(answer.body)["predictions"]["text"] == str(number)
    assert len(heard.frames) < 200, "answers share frames"
    assert all(frame.busy_ns > 0 for frame in heard.frames)
    assert warm.begun == 200


async def test_large_calls_and_answers_pass_whole(warm: LocalReplica, heard: Heard) -> None:
    call = ask(1)
    call.query, call.content_type = "", "application/json"
    call.body = json.dumps({"text": "x" * 5_000_000}).encode()
    warm.send([call])
    await until(lambda: heard.answers)
    assert len(heard.answers[1].body) > 5_000_000


async def test_what_it_has_begun_is_known_while_it_runs(warm: LocalReplica, heard: Heard, log: Path) -> None:
    warm.send([ask(1), ask(2, "sleep", n=300), ask(3)])
    await until(lambda: began(log, "sleep"))
    assert warm.begun == 2


@pytest.mark.parametrize(
    ("mode", "reason", "detail"),
    [
        ("exit0", "exit", "exited with status 0"),
        ("exit3", "exit", "exited with status 3"),
        ("kill", "signal", "killed by signal 9 (SIGKILL)"),
        ("segv", "signal", "killed by signal 11 (SIGSEGV)"),
    ],
)
async def test_a_worker_that_dies_is_lost_at_once_with_how_it_ended(
    warm: LocalReplica, heard: Heard, mode: str, reason: str, detail: str
) -> None:
    warm.send([ask(1, mode)])
    await until(lambda: heard.ends)
    assert (heard.ends[0].reason, heard.ends[0].detail) == (reason, detail)
    assert not heard.answers
    warm.send([ask(2)])  # lost without a word


async def test_the_last_answers_of_a_worker_that_dies_are_still_read(warm: LocalReplica, heard: Heard) -> None:
    warm.send([ask(1, "sleep", n=0.01), ask(2, "exit3")])
    await until(lambda: heard.ends)
    assert set(heard.answers) == {1}


async def test_an_idle_worker_that_is_asked_to_stop_ends_by_itself(warm: LocalReplica, heard: Heard) -> None:
    since = time.monotonic()
    await warm.stop(10)
    assert time.monotonic() - since < 5
    assert [end.reason for end in heard.ends] == ["stopped"]


async def test_a_call_that_runs_when_it_is_asked_to_stop_is_still_answered(
    warm: LocalReplica, heard: Heard, log: Path
) -> None:
    warm.send([ask(1, "sleep", n=0.3)])
    await until(lambda: began(log, "sleep"))
    await warm.stop(10)
    assert heard.answers[1].failure is None


async def test_a_busy_worker_is_terminated_after_the_wait(warm: LocalReplica, heard: Heard, log: Path) -> None:
    warm.send([ask(1, "sleep", n=300)])
    await until(lambda: began(log, "sleep"))
    since = time.monotonic()
    await warm.stop(0.2)
    assert 0.2 <= time.monotonic() - since < 5


async def test_a_worker_that_ignores_being_terminated_is_killed(warm: LocalReplica, heard: Heard, log: Path) -> None:
    warm.send([ask(1, "signals"), ask(2, "sleep", n=300)])
    await until(lambda: began(log, "sleep"))
    since = time.monotonic()
    await warm.stop(0.1)
    assert 1 <= time.monotonic() - since < 9
    assert [end.reason for end in heard.ends] == ["stopped"]


async def test_stopping_twice_or_at_the_same_time_is_stopping_once(warm: LocalReplica, heard: Heard) -> None:
    await asyncio.gather(warm.stop(5), warm.stop(5))
    await warm.stop(5)
    assert len(heard.ends) == 1


async def test_the_children_of_a_worker_end_with_it(warm: LocalReplica, heard: Heard) -> None:
    warm.send([ask(1, "fork", n=300)])
    await until(lambda: heard.answers)
    child = psutil.Process(json.loads(heard.answers[1].body)["predictions"]["grandchild"])
    os.kill(warm.pid, 9)
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_worker_that_closes_its_channel_and_lives_on_is_killed(folder: Path, heard: Heard) -> None:
    (folder.parent / "closer.py").write_text(CLOSER)
    ref = ModelRef("closer", "file", str(folder.parent / "closer.py"))
    replica = LocalBackend(str(folder)).replica(spec(ref))
    await replica.start(heard)
    call = ask(1)
    call.query = ""
    replica.send([call])
    await until(lambda: heard.ends)
    assert heard.ends[0].detail == "killed by signal 9 (SIGKILL)"
    await until(lambda: not list(folder.iterdir()))


async def test_a_backend_runs_many_workers_that_share_nothing(folder: Path) -> None:
    async with LocalBackend(str(folder)) as backend:
        replicas, heards = [backend.replica(spec(CHAOS)) for _ in range(2)], [Heard(), Heard()]
        await asyncio.gather(*(replica.start(heard) for replica, heard in zip(replicas, heards, strict=True)))
        assert len({replica.pid for replica in replicas}) == len(list(folder.iterdir())) == 2
        os.kill(replicas[0].pid, 9)
        await until(lambda: heards[0].ends)
        replicas[1].send([ask(1)])
        await until(lambda: heards[1].answers)
        await replicas[1].stop(5)
