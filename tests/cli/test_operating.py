"""``modelserve status``, ``modelserve reload``, SIGHUP and ``modelserve run --reload`` on a server that runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, modelserve
from tests.running import Running, eventually, running

MODEL = """
from modelserve.v2 import fields
class Adder:
    def get_predict_args(self):
        return {"x": fields.Int(required=True)}
    def predict(self, x):
        return x + STEP
STEP = 1
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "adder.py"
    path.write_text(MODEL)
    return path


@pytest.fixture
def server(source: Path, tmp_path: Path) -> Iterator[Running]:
    with running([f"{source}:Adder"], folder=tmp_path, env=home(tmp_path)) as server:
        yield server


def home(folder: Path) -> dict[str, str]:
    """Return the variables by which a server and a command find each other, and nobody else."""
    return {"XDG_RUNTIME_DIR": "", "TMPDIR": str(folder / "tmp")}


def command(server: Running, *arguments: str) -> Done:
    return modelserve(*arguments, folder=server.folder, variables=home(server.folder))


def answer(server: Running) -> Any:
    reply = server.predict("adder", {"x": 1})
    assert reply.status == 200, reply.body
    return reply.json()["predictions"]


def test_the_status_shows_deployments_and_workers(server: Running) -> None:
    answer(server)
    done = command(server, "status")
    assert (done.status, done.err) == (0, "")
    (worker,) = server.workers()
    assert f"process {server.process.pid}" in done.out
    assert "adder" in done.out
    assert "1 of 1 warm" in done.out
    assert str(worker.pid) in done.out


def _pids(server: Running) -> list[int]:
    return [job["pid"] for job in json.loads(command(server, "status", "--json").out)["jobs"] if job["pid"]]


LEARNER = """
import time
class Learner:
    def get_train_args(self):
        return {}
    def train(self):
        time.sleep(300)
"""


def test_the_status_shows_the_trainings_that_run(tmp_path: Path) -> None:
    (tmp_path / "learner.py").write_text(LEARNER)
    arguments = [f"{tmp_path / 'learner.py'}:Learner", "--train-cancel-s", "0"]
    with running(arguments, folder=tmp_path, env=home(tmp_path)) as server:
        assert "running job" not in command(server, "status").out
        uuid = server.request("POST", "/v2/models/learner/train/").json()["uuid"]
        eventually(lambda: _pids(server), within_s=40)
        assert uuid in command(server, "status").out


def test_the_status_as_json_is_for_programs(server: Running) -> None:
    shown = json.loads(command(server, "status", "--json", "--port", str(server.port)).out)
    (deployment,) = shown["deployments"]
    assert (shown["url"], shown["pid"]) == (f"http://127.0.0.1:{server.port}", server.process.pid)
    assert (deployment["name"], deployment["status"], deployment["queue_calls"]) == ("adder", "ready", 0)
    assert [worker["pid"] for worker in deployment["workers"]] == [worker.pid for worker in server.workers()]


def test_process_ids_are_not_told_to_clients(server: Running) -> None:
    (worker,) = server.workers()
    for path in ("/v2/models/", "/v2/models/adder/", "/readyz"):
        assert str(worker.pid).encode() not in server.get(path).body


@pytest.mark.parametrize("names", [(), ("adder",)], ids=["all", "one"])
def test_a_reload_takes_up_the_new_code_and_says_so(server: Running, source: Path, names: tuple[str, ...]) -> None:
    assert answer(server) == 2
    source.write_text(MODEL.replace("STEP = 1", "STEP = 10"))
    done = command(server, "reload", *names)
    assert done == Done(0, "adder: reloaded\n", "")
    assert answer(server) == 11
    assert len(server.workers()) == 1


def test_a_new_version_that_cannot_start_leaves_the_old_one_and_everybody_is_told(
    server: Running, source: Path
) -> None:
    source.write_text(MODEL + "    raise RuntimeError\n")
    done = command(server, "reload")
    assert (done.status, done.out) == (1, "")
    assert "adder: the old version stays." in done.err
    assert "IndentationError" in done.err
    assert answer(server) == 2
    assert "the old version stays" in command(server, "status").out
    shown = server.get("/v2/models/adder/").json()
    assert shown["status"] == "ready"
    assert shown["message"].startswith("The last reload failed, so the version before it serves on.")
    assert "IndentationError" not in shown["message"]


def test_a_reload_of_what_is_not_there_names_what_is(server: Running) -> None:
    done = command(server, "reload", "nosuch")
    assert (done.status, done.out) == (1, "")
    assert done.err == "modelserve: There is no deployment 'nosuch'; there are adder.\n"


def test_without_a_server_commands_say_so(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    for arguments in (["status"], ["reload"], ["status", "--port", "1"]):
        done = modelserve(*arguments, folder=tmp_path, variables=home(tmp_path))
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("modelserve: No server of this user")
        assert done.err.count("\n") == 1


def test_with_two_servers_a_command_wants_to_know_which(server: Running, source: Path, tmp_path: Path) -> None:
    with running([f"{source}:Adder"], folder=tmp_path / "second", env=home(tmp_path)) as second:
        done = command(server, "status")
        assert done.status == 1
        assert str(server.port) in done.err
        assert str(second.port) in done.err
        assert command(server, "status", "--port", str(second.port)).status == 0
        second.terminate(within_s=10)
    assert command(server, "status").status == 0, "the socket of the one that ended is gone"


def test_sighup_reloads(server: Running, source: Path) -> None:
    """G07."""
    source.write_text(MODEL.replace("STEP = 1", "STEP = 10"))
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: answer(server) == 11)
    assert server.terminate(within_s=10) == 0


def test_run_with_reload_takes_up_each_change_and_keeps_the_old_version_of_a_broken_one(
    source: Path, tmp_path: Path
) -> None:
    with running([f"{source}:Adder", "--reload"], folder=tmp_path, env=home(tmp_path)) as server:
        eventually(lambda: "watching" in server.log)
        source.write_text(MODEL.replace("STEP = 1", "STEP = 10"))
        eventually(lambda: answer(server) == 11)
        source.write_text("broken(")
        eventually(lambda: "the old workers stay" in server.log)
        assert "SyntaxError" in server.log
        assert answer(server) == 11
        source.write_text(MODEL.replace("STEP = 1", "STEP = 100"))
        eventually(lambda: answer(server) == 101)
        assert server.terminate(within_s=10) == 0
