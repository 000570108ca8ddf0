"""Every thread and long task of a server is made to fail in turn: it is told, counted and started again.

Meanwhile the server answers, hears its workers, and runs jobs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.injected import Injection
from tests.faults.trainings import BEGIN_S
from tests.running import Running, eventually, running

MODEL = """
import os, time
from modelserve.v2 import fields, progress
def get_predict_args():
    return {"text": fields.Str(load_default=""), "seconds": fields.Float(load_default=0)}
def predict(text, seconds):
    print(text)
    time.sleep(seconds)
    return os.getpid()
def get_train_args():
    return {"seconds": fields.Float(load_default=0)}
def train(seconds):
    for step in range(10):
        progress(step / 10, loss=1.0)
        time.sleep(seconds / 10)
    return 1
"""

TRAIN = "/v2/models/model/train/"

SECRET = "whsec_" + "QUJD" * 12


class Part(NamedTuple):
    """A part of the server, a function of which it cannot do its work without, and what has it called."""

    name: str
    target: str
    trigger: Callable[[Running], object] = lambda server: None
    times: int = 2


def say(server: Running) -> bool:
    """Have a worker print; it is called again until the part has failed."""
    return server.predict("model", {"text": "a word"}).status != 200


def kill(server: Running) -> None:
    """Kill the worker."""
    for worker in server.workers():
        with contextlib.suppress(Exception):
            worker.kill()


def train(server: Running, seconds: float = 0.5) -> str:
    """Start a training and return its id."""
    body = json.dumps({"seconds": seconds}).encode()
    reply = server.request("POST", TRAIN, body, {"Content-Type": "application/json"})
    assert reply.status == 200, reply.body
    return str(reply.json()["uuid"])


def follow(server: Running) -> None:
    """Follow a training, whose end need not be told."""
    with contextlib.suppress(OSError):
        server.request("GET", f"{TRAIN}{train(server)}/events", timeout_s=20)


def reload(server: Running) -> None:
    """Ask for a reload."""
    os.kill(server.pid, signal.SIGHUP)


PARTS = (
    Part("hearing", "modelserve.runtime.hearing:Hearing._tell", say),
    Part("hearing", "modelserve.runtime.hearing:Hearing._hear", say),
    Part("saying", "modelserve.runtime.hearing:_say_all", say),
    Part("log", "modelserve.logs.writing:write_lines", say),
    Part("log files", "modelserve.logs.kept:KeptLogs._write_all", say),
    Part("taking jobs", "modelserve.jobs.runner:Runner._take_all"),
    Part("counting jobs", "modelserve.jobs.thread:AsyncStore.queued"),
    Part("reports", "modelserve.jobs.reports:Reports.flush", train, times=1),
    Part("heartbeat", "modelserve.jobs.heartbeat:Heartbeat._beat"),
    Part("following jobs", "modelserve.jobs.followers:Followers._read", follow, times=1),
    Part("callbacks", "modelserve.jobs.thread:AsyncStore.take_delivery"),
    Part("clients", "modelserve.access.keeping:_Keeper._news"),
    Part("keeping workers", "modelserve.runtime.slot:Slot._allowed", kill),
    Part("unhandled", "modelserve.runtime.slot:Slot._next_pause_s", kill, times=1),
    Part("unhandled", "modelserve.runtime.deployment:Deployment._bury", kill, times=1),
    Part("weighing workers", "modelserve.runtime.rotation:rss_bytes"),
    Part("reloading", "modelserve.runtime.fleet:Fleet.reload", reload, times=1),
    Part("unhandled", "modelserve.runtime.watch:Watch._look", lambda server: server.predict("model", {"seconds": 1})),
)


class House(NamedTuple):
    """A server, and what makes its functions raise."""

    server: Running
    injection: Injection
    names: Iterator[int]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Yield a server with a worker and everything that runs beside it."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "model.py").write_text(MODEL)
    injection = Injection(folder / "injected", [part.target for part in PARTS])
    options = ["--predict-timeout-s", "20", "--max-rss-mb", "4000", "--callback-hosts", "example.org"]
    env = {**injection.env, "MODELSERVE_CALLBACK_SECRET": SECRET}
    with running(["model.py", *options], folder=folder, visible=[injection.visible], env=env) as server:
        yield House(server, injection, itertools.count())


def failures(server: Running, part: str) -> float:
    """Return how often a part has failed, which is told from the start."""
    (count,) = re.findall(
        rf'^modelserve_internal_failures_total{{part="{part}"}} (\S+)', server.get("/metrics").body.decode(), re.M
    )
    return float(count)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.name}: {part.target.rpartition(':')[2]}")
def test_a_part_that_fails_is_told_counted_and_started_again(house: House, part: Part) -> None:
    """X6."""
    server, before = house.server, failures(house.server, part.name)
    with house.injection.armed(part.target, times=part.times) as fired:
        part.trigger(server)
        eventually(lambda: fired() >= part.times or (part.trigger is say and say(server)), within_s=60)
    eventually(lambda: failures(server, part.name) >= before + part.times, within_s=20)
    told = rf"ERROR modelserve\.supervised .*part=\"?{part.name}\"?(?:\n    .*)*\n    RuntimeError: injected\n"
    if part.name != "log":  # what writes the log cannot write what it has lost
        eventually(lambda: re.search(told, server.log), within_s=20)
    check(house)


def check(house: House) -> None:
    """See that the server answers, hears its worker, keeps its log, and runs jobs to their end."""
    server, word = house.server, f"word-{next(house.names)}"
    eventually(lambda: server.predict("model", {"text": word}).status == 200, within_s=BEGIN_S)
    eventually(lambda: server.predict("model", {"text": word}).status == 200 and word in server.log, within_s=20)
    assert word in server.get("/v2/models/model/log").body.decode()
    uuid = train(server, 0)
    eventually(lambda: server.get(f"{TRAIN}{uuid}").json()["status"] == "done", within_s=BEGIN_S)


def test_a_worker_whose_way_in_fails_is_replaced(tmp_path: Path) -> None:
    """X6: of a worker too: its call is answered, and another takes its place."""
    (tmp_path / "model.py").write_text(MODEL)
    target = "modelserve.runtime.intake:Intake._is_long"
    injection = Injection(tmp_path / "injected", [target], into="entry.py model-")
    with running(["model.py"], folder=tmp_path, visible=[injection.visible], env=injection.env) as server:
        first = server.predict("model", {}).json()["predictions"]
        call = server.predict_soon("model", {"text": "it has begun", "seconds": 20})
        eventually(lambda: "it has begun" in server.log)  # before it, a worker without a call would fail
        with injection.armed(target) as fired:
            assert call.result(60).status == 500
            assert fired()
        eventually(lambda: server.predict("model", {}).status == 200, within_s=BEGIN_S)
        assert server.predict("model", {}).json()["predictions"] != first
        assert "the worker ends, since its thread intake has failed" in server.log
