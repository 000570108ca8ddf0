"""A worker that the server ends: for a call that overran, a client that left, or itself."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import weakref
from pathlib import Path

import psutil
import pytest

from modelserve.messages import Call
from modelserve.runtime.interface import FIRST_PARTS, Exit, Replica
from modelserve.runtime.process import LocalBackend, LocalReplica
from tests.models.installed import side_log
from tests.runtime.child import STREAM
from tests.runtime.workers import Heard, ask, spec, until

pytestmark = pytest.mark.usefixtures("log")


def began(log: Path, mode: str) -> bool:
    return any(line["mode"] == mode for line in side_log(log, "predict"))


@pytest.mark.parametrize("mode", ["sleep", "spin_c", "stop"])
async def test_a_worker_that_is_ended_is_gone_within_seconds_whatever_it_does(
    warm: LocalReplica, heard: Heard, log: Path, mode: str
) -> None:
    """A08 to A10: asleep, in C code that holds the interpreter lock, or frozen."""
    warm.send([ask(1, mode, n=300)])
    await until(lambda: began(log, mode))
    since = time.monotonic()
    warm.end("timeout", "a call ran longer than predict_timeout_s")
    await until(lambda: heard.ends)
    assert time.monotonic() - since < 9
    assert (heard.ends[0].reason, heard.ends[0].detail) == ("timeout", "a call ran longer than predict_timeout_s")


async def test_a_worker_that_ignores_being_ended_is_killed_a_second_later(
    warm: LocalReplica, heard: Heard, log: Path
) -> None:
    warm.send([ask(1, "signals"), ask(2, "sleep", n=300)])
    await until(lambda: began(log, "sleep"))
    since = time.monotonic()
    warm.end("cancelled", "its client has left")
    await until(lambda: heard.ends)
    assert 1 <= time.monotonic() - since < 9
    assert heard.ends[0].reason == "cancelled"


async def test_ending_an_ended_worker_does_nothing(warm: LocalReplica, heard: Heard) -> None:
    warm.end("recycled", "it was large")
    warm.end("timeout", "too late")
    await until(lambda: heard.ends)
    warm.end("timeout", "much too late")
    assert [end.reason for end in heard.ends] == ["recycled"]


async def test_the_children_of_a_worker_that_is_ended_end_with_it(warm: LocalReplica, heard: Heard) -> None:
    """A19."""
    warm.send([ask(1, "fork", n=300)])
    await until(lambda: heard.answers)
    child = psutil.Process(json.loads(heard.answers[1].body)["predictions"]["grandchild"])
    warm.end("timeout", "")
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_worker_that_leaves_its_device_says_so_by_its_status(warm: LocalReplica, heard: Heard) -> None:
    warm.send([ask(1, "cuda_sticky")])
    await until(lambda: heard.ends)
    assert heard.ends[0].reason == "device"
    assert "71" in heard.ends[0].detail
    assert heard.answers[1].failure is not None


async def test_parts_of_a_streamed_answer_come_one_by_one_as_far_as_they_are_asked_for(
    packages: dict[str, Path], folder: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(packages["chaos_stream"])
    replica = LocalBackend(str(folder)).replica(spec(STREAM))
    description = await replica.start(heard)
    assert description.streams
    replica.send([Call(id=1, query=f"items={2 * FIRST_PARTS}", accept="application/x-ndjson")])
    await until(lambda: len(heard.parts) == FIRST_PARTS)
    assert heard.answers[1].stream
    replica.more(1, FIRST_PARTS + 1)
    await until(lambda: heard.parts[-1].last)
    replica.send([Call(id=2, query="items=1000000", accept="application/x-ndjson")])
    await until(lambda: 2 in heard.answers)
    replica.cancel([2])
    replica.send([Call(id=3, query="items=1", accept="application/x-ndjson")])
    replica.more(3, 2)
    await until(lambda: heard.parts[-1].id == 3 and heard.parts[-1].last)
    await replica.stop(5)
    assert heard.ends[0].reason == "stopped"


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_what_a_dead_worker_held_is_freed_without_a_collection(folder: Path, heard: Heard, how: str) -> None:
    """R04: a collection is rare in a server, and a thousand deaths would leave a hundred megabytes until then."""
    replica = LocalBackend(str(folder)).replica(spec())
    await replica.start(heard)
    left = weakref.ref(replica)
    gc.disable()
    try:
        if how == "killed":
            replica.kill()
        else:
            await replica.stop(5)
        await until(lambda: heard.ends)
        del replica
        await until(lambda: left() is None)
    finally:
        gc.enable()


async def test_who_listens_and_holds_on_to_the_worker_is_freed_with_it(folder: Path) -> None:
    """H09: a training does, and holds on to what it has returned."""

    class Holder(Heard):
        held: LocalReplica | None = None

    holder, replica = Holder(), LocalBackend(str(folder)).replica(spec())
    await replica.start(holder)
    holder.held, ends, left = replica, holder.ends, weakref.ref(holder)
    gc.disable()
    try:
        replica.kill()
        await until(lambda: ends)
        del holder, replica
        await until(lambda: left() is None)
    finally:
        gc.enable()


async def test_the_end_of_a_worker_is_told_before_its_folder_is_removed(log: Path, folder: Path) -> None:
    """Y25, Y26: there may be very many files in it."""

    class Looking(Heard):
        left = -1

        def folder_gone(self, replica: Replica) -> None:
            """Have nothing to do."""

        def lost(self, replica: Replica, end: Exit) -> None:
            super().lost(replica, end)
            self.left = len(list(folder.iterdir()))

    looking, replica = Looking(), LocalBackend(str(folder)).replica(spec())
    await replica.start(looking)
    replica.kill()
    await until(lambda: looking.ends)
    assert looking.left == 1
    await until(lambda: not list(folder.iterdir()))


async def test_the_end_of_a_worker_is_told_where_no_thread_can_be_started(
    warm: LocalReplica, heard: Heard, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y26."""
    monkeypatch.setattr(threading.Thread, "start", refuse)
    warm.kill()
    await until(lambda: heard.ends)
    assert heard.ends[0].reason == "signal"
    await until(lambda: not list(folder.iterdir()))


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_worker_that_does_not_end_when_it_is_killed_is_given_up(
    warm: LocalReplica, heard: Heard, log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Y31: as one in a sleep that the kernel does not interrupt."""
    warm.send([ask(1, "sleep", n=1000)])
    await until(lambda: began(log, "sleep"))
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    async with asyncio.timeout(30):
        await warm.stop(0.1)
    assert heard.ends == [Exit("stopped", "it was stopped")]
    assert "has not ended 5 s after SIGKILL" in caplog.text
