"""Models that become two processes, or another program, or can start no thread: their calls are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.confined import confined
from tests.faults.told import counted, status
from tests.faults.trainings import ENDED, becomes
from tests.running import Running, are_gone, eventually, running

HEAD = """
import asyncio, os, sys, threading, time
import prometheus_client
from modelserve.v2 import fields

def get_metadata():
    return {"name": "forks", "description": "Becomes two."}

def get_predict_args():
    return {"mode": fields.Str(load_default="ok")}

get_train_args = get_predict_args

def no_thread(*arguments, **named):
    raise RuntimeError("can't start new thread")

def begin(mode):
    if mode == "program":
        os.execvp("sleep", ["sleep", "1000"])
    if mode == "no threads":
        threading.Thread.start = no_thread
    if mode in ("returns", "exits", "raises"):
        child = os.fork()
        if not child and mode == "exits":
            sys.exit(0)
        if not child and mode == "raises":
            raise ValueError
        if child:
            os.waitpid(child, 0)
            return "parent"
        return "child"
    return mode

def opened():
    with os.scandir("/proc/self/fd") as entries:
        return [os.readlink(each.path) for each in entries if int(each.name) > 2 and os.path.lexists(each.path)]

def seen_by_child():
    out, into = os.pipe()
    if not os.fork():
        os.write(into, "\\n".join(opened()).encode())
        os._exit(0)
    os.close(into)
    with open(out) as file:
        return file.read().split("\\n")

def train(mode):
    return {"by": begin(mode)}
"""

ENDS = {
    "turns": "def predict(mode):\n    return seen_by_child() if mode == 'descriptors' else begin(mode)\n",
    "batch": "max_batch_size = 4\n\ndef predict_batch(items):\n    return [begin(**item) for item in items]\n",
    "async": """
max_concurrency = 4

async def predict(mode):
    if mode == "child waits" and not os.fork():
        await asyncio.sleep(1000)
    if "waits" in mode:
        for _ in range(20):
            await asyncio.to_thread(time.sleep, 0.01)
    return begin(mode)
""",
    "stream": "def predict(mode):\n    yield from [mode, begin(mode), 'end']\n",
}

FORKS = ("returns", "exits", "raises")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("forks")
    for kind, end in ENDS.items():
        (folder / f"{kind}.py").write_text(f"{HEAD}\n{end}")
    scripts = [str(folder / f"{kind}.py") for kind in ENDS]
    with running(scripts, folder=folder, within=confined(folder, alone=True)) as server:
        eventually(lambda: server.get("/readyz").status == 200, within_s=40)
        with aftermath(server, "turns", workers=len(ENDS), models=len(ENDS), jobs=True):
            yield server


@pytest.mark.parametrize("mode", FORKS)
@pytest.mark.parametrize("kind", ENDS)
def test_a_child_that_comes_back_from_the_model_answers_nothing(server: Running, kind: str, mode: str) -> None:
    """A19: the call is its parent's, whose worker goes on."""
    workers = server.workers()
    reply = server.predict(kind, {"mode": mode})
    assert reply.status == 200
    assert b"parent" in reply.body
    assert b"child" not in reply.body
    assert [server.predict(kind, {}).status for _ in range(5)] == [200] * 5
    assert server.workers() == workers


def test_a_child_has_none_of_the_workers_descriptors(server: Running) -> None:
    """L1: neither the channel to the server, nor the lifeline, nor the counter."""
    found = server.predict("turns", {"mode": "descriptors"}).json()["predictions"]
    assert not [name for name in found if name.startswith("socket:") or "modelserve" in name]
    assert len({name for name in found if name.startswith("pipe:")}) == 1, "its own"


def test_a_child_of_an_async_model_that_waits_in_our_event_loop_ends(server: Running) -> None:
    """L1: it would take from its parent what wakes that."""
    workers = server.workers()
    for mode in ("child waits", "waits", "child waits", "waits"):
        assert server.predict("async", {"mode": mode}).json()["predictions"] == mode
    assert server.workers() == workers
    eventually(lambda: are_gone(child for worker in workers for child in worker.children()))


@pytest.mark.parametrize("mode", FORKS)
def test_a_child_that_comes_back_from_a_training_ends_nothing(server: Running, mode: str) -> None:
    """A19: the job has the result of the training that was begun."""
    path = "/v2/models/turns/train/"
    reply = server.request("POST", path, json.dumps({"mode": mode}).encode(), {"Content-Type": "application/json"})
    job = becomes(server, reply.json()["uuid"], *ENDED, path=path)
    assert (job["status"], job["result"]["output"]) == ("done", {"by": "parent"})


@pytest.mark.parametrize("kind", ["turns", "async"])
def test_a_worker_that_has_become_another_program_is_replaced_at_once(server: Running, kind: str) -> None:
    """A01: although nothing limits how long a call may run."""
    reply = server.predict(kind, {"mode": "program"})
    assert (reply.status, reply.json()["code"]) == (500, "worker_died")
    eventually(lambda: server.predict(kind, {}).status == 200, within_s=20)


@pytest.mark.parametrize("kind", ["turns", "async"])
def test_a_worker_that_can_start_no_thread_is_asked_what_it_counts_and_lives(server: Running, kind: str) -> None:
    """A20."""
    assert server.predict(kind, {"mode": "no threads"}).status == 200
    exits = counted(server, "modelserve_worker_exits_total", deployment=kind)
    for _ in range(3):
        assert server.get("/metrics").status == 200
        assert server.predict(kind, {}).status == 200
    assert counted(server, "modelserve_worker_exits_total", deployment=kind) == exits
    assert status(server, kind)["status"] == "ready"
    assert server.log.count("can't start new thread") <= 2 * 3, "it is told once"
