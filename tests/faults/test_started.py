"""What a model starts itself, and where that puts its sockets."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.trainings import ENDED, becomes
from tests.running import Running, eventually, running

# As long as a name may be that must still leave room: multiprocessing's sockets take 32 bytes of 107 themselves, and a
# worker's folder at most 26.
LONG_NAME = "a-deployment-with-a-name-of-36-chars"
LONG_FOLDER_BYTES = 49

MODEL = """
import multiprocessing, os, signal, subprocess, sys, time
from modelserve.v2 import fields

def get_metadata():
    return {"name": "starts", "description": "Starts programs."}

def get_predict_args():
    return {"how": fields.Str(required=True)}

get_train_args = get_predict_args

def waits(ready):
    ready.send(0)
    time.sleep(60)

def forked():
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=waits, args=(there,))
    child.start()
    here.recv()
    os.kill(child.pid, signal.SIGINT)
    child.join()
    return child.exitcode

PROGRAMS = {
    "program": ["sleep", "60"],
    "shell": ["sh", "-c", "trap 'exit 9' INT; echo; sleep 60 & wait"],
    "python": [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
}

def predict(how):
    if how == "manager":
        with multiprocessing.Manager() as manager:
            return dict(manager.dict(a=1))
    if how == "itself":
        os.kill(os.getpid(), signal.SIGINT)
        return "goes on"
    if how == "fork":
        return forked()
    child = subprocess.Popen(PROGRAMS[how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if how != "program":
        child.stdout.readline()
    child.send_signal(signal.SIGINT)
    return child.wait()

train = predict
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("starts")
    (folder / "starts.py").write_text(MODEL)
    (folder / "modelserve.toml").write_text(f'[deployments.{LONG_NAME}]\nmodel = "./starts.py"\n')
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        long = Path(short) / ("t" * (LONG_FOLDER_BYTES - len(short) - 1))
        long.mkdir()
        with running([], folder=folder, env={"TMPDIR": str(long)}) as server:
            yield server


INTERRUPTED = [("program", -2), ("shell", 9), ("python", -2), ("fork", 1), ("itself", "goes on")]


def trained(server: Running, how: str) -> Any:
    path = f"/v2/models/{LONG_NAME}/train/"
    reply = server.request("POST", path, json.dumps({"how": how}).encode(), {"Content-Type": "application/json"})
    return becomes(server, reply.json()["uuid"], *ENDED, path=path)["result"]["output"]


@pytest.mark.parametrize(("how", "end"), INTERRUPTED)
def test_ctrl_c_that_a_model_sends_ends_what_it_has_started(server: Running, how: str, end: object) -> None:
    """L2: the worker itself does without, and hands that on to nobody."""
    assert server.predict(LONG_NAME, {"how": how}).json()["predictions"] == end


def test_ctrl_c_ends_what_a_training_has_started(server: Running) -> None:
    """L2."""
    assert trained(server, "program") == -2


def test_there_is_room_for_the_name_of_a_socket_in_a_workers_folder(server: Running) -> None:
    """L3: AF_UNIX path too long."""
    assert server.predict(LONG_NAME, {"how": "manager"}).json()["predictions"] == {"a": 1}
    assert trained(server, "manager") == {"a": 1}


INHERITED = """
import os, signal, sys
for number in (signal.SIGCHLD, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_what_has_started_the_server_may_ignore_and_block_any_signal(tmp_path: Path) -> None:
    """L2."""
    (tmp_path / "starts.py").write_text(MODEL)
    within = [sys.executable, "-c", INHERITED]
    with running(["starts.py", "--no-train"], folder=tmp_path, within=within) as server:
        assert server.predict("starts", {"how": "program"}).json()["predictions"] == -2
        server.workers()[0].kill()
        eventually(lambda: "worker killed by signal 9 (SIGKILL)" in server.log)
        eventually(lambda: server.predict("starts", {"how": "itself"}).status == 200)
        assert server.terminate(within_s=30) == 0
