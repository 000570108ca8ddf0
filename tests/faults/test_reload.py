"""New code in the place of the old without a lost call: upgrades, reloads that fail, reloads that are disturbed.

Row G07 and the life cycle of workers.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, modelserve
from tests.faults.aftermath import aftermath
from tests.faults.conftest import Chaos
from tests.faults.traffic import traffic
from tests.models.installed import flip, install, side_log
from tests.running import Running, eventually, is_gone, running

CALL = {"x": 1}


def home(folder: Path) -> dict[str, str]:
    """Return the variables by which a server and a command find each other, and nobody else."""
    return {"XDG_RUNTIME_DIR": "", "TMPDIR": str(folder / "tmp")}


def order(server: Running, *arguments: str) -> Done:
    return modelserve(*arguments, folder=server.folder, variables=home(server.folder))


def told(server: Running) -> dict[str, Any]:
    """Return what ``modelserve status`` says of the one deployment."""
    (deployment,) = json.loads(order(server, "status", "--json").out)["deployments"]
    assert isinstance(deployment, dict)
    return deployment


@pytest.fixture
def site(packages: dict[str, Path], tmp_path: Path) -> Path:
    """Return a folder with a package of its own, to be upgraded."""
    return shutil.copytree(packages["plain"], tmp_path / "own")


@pytest.fixture
def plain(site: Path, tmp_path: Path) -> Iterator[Running]:
    """Yield a server with two workers of that package."""
    with running(["plain", "--workers", "2"], folder=tmp_path, visible=[site], env=home(tmp_path)) as server:
        yield server


@pytest.fixture
def chaos(packages: dict[str, Path], tmp_path: Path) -> Iterator[Chaos]:
    """Yield a server whose model goes wrong as the file ``switches`` says when its next worker starts."""
    env = home(tmp_path) | {"CHAOS_LOG": str(tmp_path / "side.log"), "CHAOS_SWITCHES": str(tmp_path / "switches")}
    arguments = ["chaos", "--warm-timeout-s", "2", "--grace-s", "5"]
    with running(arguments, folder=tmp_path, visible=[packages["chaos"]], env=env) as server:
        yield Chaos(server, tmp_path / "side.log")


def reload_soon(chaos: Chaos) -> None:
    """Ask for a reload, and return when its new worker warms."""
    before = len(chaos.events("warm"))
    chaos.server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(chaos.events("warm")) > before)


@pytest.mark.parametrize("how", ["command", "signal"])
def test_a_package_is_upgraded_under_load_without_a_failed_call(plain: Running, site: Path, how: str) -> None:
    """G07."""
    old = {worker.pid for worker in plain.workers()}
    with aftermath(plain, "plain", workers=2), traffic(plain, "plain", CALL) as sent:
        install(site, "plain", version="0.2.0", changed={"x + 1": "x + 10"})
        if how == "command":
            assert order(plain, "reload", "plain") == Done(0, "plain: reloaded\n", "")
        else:
            plain.process.send_signal(signal.SIGHUP)
            eventually(lambda: told(plain)["last_reload"], within_s=30)
        done = sent.goes_on(8)  # those that ran meanwhile
        sent.goes_on()
    assert sent.statuses == {200}
    answers = [answer["y"] for answer in sent.answers()]
    assert (answers[0], set(answers)) == (2, {2, 11})
    assert {answer["y"] for answer in sent.answers(done)} == {11}
    assert plain.get("/v2/models/plain/").json()["version"] == "0.2.0"
    assert not old & {worker.pid for worker in plain.workers()}


def test_an_upgrade_that_cannot_be_loaded_changes_nothing_and_the_status_says_why(plain: Running, site: Path) -> None:
    with aftermath(plain, "plain", workers=2), traffic(plain, "plain", CALL) as sent:
        install(site, "plain", version="0.3.0", changed={"schema = ": "import no_such_package\n\nschema = "})
        done = order(plain, "reload", "plain")
    assert sent.statuses == {200}
    assert {answer["y"] for answer in sent.answers()} == {2}
    assert (done.status, done.out) == (1, "")
    assert "plain: the old version stays" in done.err
    report = told(plain)
    assert (report["status"], report["version"], report["last_reload"]["ok"]) == ("ready", "0.1.0", False)
    assert "no_such_package" in report["last_reload"]["message"]
    assert "no_such_package" in plain.log
    shown = plain.get("/v2/models/plain/").json()
    assert (shown["status"], shown["version"]) == ("ready", "0.1.0")
    assert "The last reload failed" in shown["message"]


def test_a_call_that_runs_is_finished_by_the_old_worker_while_the_new_one_serves(chaos: Chaos) -> None:
    """G07."""
    (old,) = chaos.server.workers()
    with aftermath(chaos.server):
        slow = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 3})
        eventually(lambda: "sleep" in chaos.events("predict"))
        chaos.server.process.send_signal(signal.SIGHUP)
        state = eventually(lambda: chaos.server.predict("chaos", {"mode": "state"})).json()["predictions"]
        assert state["pid"] != old.pid
        assert not slow.done(), "the new worker answered meanwhile"
        assert slow.result(10).status == 200
        eventually(lambda: [worker.pid for worker in chaos.server.workers()] == [state["pid"]])


@pytest.mark.parametrize(
    ("fault", "reason"), [("hang", "warm_timeout_s"), ("stop", "warm_timeout_s"), ("kill", "SIGKILL"), ("raise", "")]
)
def test_a_new_worker_that_does_not_get_warm_is_given_up(chaos: Chaos, fault: str, reason: str) -> None:
    (old,) = chaos.server.workers()
    with aftermath(chaos.server), traffic(chaos.server, "chaos", {}, clients=2) as sent:
        flip(chaos.side_log.parent / "switches", CHAOS_WARM=fault)
        done = order(chaos.server, "reload")
        assert (done.status, done.out) == (1, "")
        assert reason in done.err
    assert sent.statuses == {200}
    assert [worker.pid for worker in chaos.server.workers()] == [old.pid]


def test_the_death_of_the_old_worker_during_a_reload_costs_no_call(chaos: Chaos) -> None:
    flip(chaos.side_log.parent / "switches", CHAOS_WARM_S="0.5")
    with aftermath(chaos.server):
        reload_soon(chaos)
        chaos.server.workers()[0].kill()
        assert chaos.server.predict("chaos", {}).status == 200
        eventually(lambda: told(chaos.server)["last_reload"], within_s=20)


def test_a_reload_overtakes_a_replacement_that_fails_and_leaves_no_other_worker(chaos: Chaos) -> None:
    """Y21: the one that fails has no successor of the old code."""
    switches = chaos.side_log.parent / "switches"
    flip(switches, CHAOS_WARM="hang")
    with aftermath(chaos.server):
        (first,) = chaos.server.workers()
        first.kill()
        eventually(lambda: len(chaos.events("warm")) == 2, within_s=20)
        (hung,) = chaos.server.workers()
        flip(switches)
        for _ in range(2):
            assert order(chaos.server, "reload").status == 0
            eventually(lambda: is_gone(hung))
            eventually(lambda: len(chaos.server.workers()) == 1)


def test_a_stop_during_a_reload_waits_for_no_new_worker(chaos: Chaos) -> None:
    """G10."""
    flip(chaos.side_log.parent / "switches", CHAOS_WARM="spin")
    reload_soon(chaos)
    family = chaos.server.family()
    assert chaos.server.terminate(within_s=12) == 0
    eventually(lambda: not [process for process in family if process.is_running()], within_s=6)


def test_many_signals_at_once_make_few_reloads(chaos: Chaos) -> None:
    """G07."""
    with aftermath(chaos.server):
        for _ in range(20):
            chaos.server.process.send_signal(signal.SIGHUP)
            chaos.server.get("/healthz")  # so that it has seen the signal
        eventually(lambda: counted(chaos, "reloaded") == counted(chaos, "reloading"))
    assert 1 <= counted(chaos, "reloaded") < 10


def test_a_signal_while_the_server_starts_does_not_end_it(packages: dict[str, Path], tmp_path: Path) -> None:
    """G07."""
    env = home(tmp_path) | {"CHAOS_LOG": str(tmp_path / "side.log"), "CHAOS_WARM_S": "0.5"}
    with running(["chaos"], folder=tmp_path, visible=[packages["chaos"]], env=env, wait=False) as server:
        eventually(lambda: side_log(tmp_path / "side.log", "warm"), within_s=20)
        server.process.send_signal(signal.SIGHUP)
        server.wait_ready()
        assert server.predict("chaos", {}).status == 200
        eventually(lambda: " reloaded " in server.log)


def counted(chaos: Chaos, event: str) -> int:
    return len(re.findall(rf" {event}( |$)", chaos.server.log, re.MULTILINE))


def test_an_edited_file_is_taken_up_under_load_without_a_failed_call(tmp_path: Path) -> None:
    source = tmp_path / "code" / "adder.py"
    source.parent.mkdir()
    text = "from modelserve.v2 import fields\n\ndef predict(x: int):\n    return x + 1\n\n"
    text += "def get_predict_args():\n    return {'x': fields.Int(required=True)}\n"
    source.write_text(text)
    with running([str(source), "--reload"], folder=tmp_path, env=home(tmp_path)) as server:
        eventually(lambda: "watching" in server.log)
        with traffic(server, "adder", CALL) as sent:
            source.write_text(text.replace("x + 1", "x + 10"))
            eventually(lambda: sent.answers()[-1]["predictions"] == 11)
            source.write_text(text.replace("x + 1", "x +"))
            eventually(lambda: "the old workers stay" in server.log)
    assert sent.statuses == {200}
    assert sent.answers()[-1]["predictions"] == 11
