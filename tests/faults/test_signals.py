"""Signals, stops at a bad moment and restarts after a kill: no process and no file is left. Rows G and A19."""

from __future__ import annotations

import http.client
import signal
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Chaos, Serve
from tests.faults.test_loading import free_port
from tests.models.installed import side_log
from tests.running import Running, are_gone, eventually, is_gone

# What a stop may take while nothing has to be waited for, on a machine that is busy; two seconds are demanded.
STOP_S = 6


def assert_nothing_is_left(server: Running, family: list[psutil.Process]) -> None:
    eventually(lambda: are_gone(family), within_s=STOP_S)
    assert list(server.temp.glob("modelserve-run-*")) == []


def grandchild_of(server: Running, mode: str = "fork") -> psutil.Process:
    """Have the model leave a process behind, as a loader of data does; a "daemon" leads a session of its own."""
    return psutil.Process(server.predict("chaos", {"mode": mode, "n": 300}).json()["predictions"]["grandchild"])


@pytest.mark.parametrize("fault", ["hang", "spin", "stop"])
@pytest.mark.parametrize("stage", ["import", "warm"])
def test_a_stop_while_a_model_starts_waits_for_nothing(serve: Serve, tmp_path: Path, stage: str, fault: str) -> None:
    """G10."""
    log = tmp_path / "side.log"
    faults = {f"CHAOS_{stage.upper()}": fault, "CHAOS_LOG": str(log)}
    server = serve("chaos", "--workers", "2", "--grace-s", "60", wait=False, **faults)
    eventually(lambda: len(side_log(log, stage)) == 2, within_s=20)
    family = server.family()
    assert server.terminate(within_s=STOP_S) == 0
    assert_nothing_is_left(server, family)


def test_a_stop_while_another_interpreter_is_asked_for_its_models_leaves_no_process(
    serve: Serve, tmp_path: Path
) -> None:
    """G10, discovery."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 300\n")
    python.chmod(0o755)
    server = serve("chaos", "--python", str(python), wait=False)
    asked = eventually(lambda: [each for each in server.family()[1:] if each.name() == "sleep"], within_s=20)
    assert server.terminate(within_s=STOP_S) == 0
    assert_nothing_is_left(server, asked)


@pytest.mark.parametrize("mode", ["fork", "daemon"])
@pytest.mark.parametrize("how", ["stop", "reload", "timeout"])
def test_grandchildren_end_with_their_worker(serve: Serve, tmp_path: Path, how: str, mode: str) -> None:
    """A19."""
    server = serve("chaos", "--predict-timeout-s", "1", "--grace-s", "2", CHAOS_LOG=str(tmp_path / "side.log"))
    grandchild = grandchild_of(server, mode)
    if how == "stop":
        server.process.terminate()
    elif how == "reload":
        server.process.send_signal(signal.SIGHUP)
    else:
        assert server.predict("chaos", {"mode": "spin_c"}).status == 504
    eventually(lambda: is_gone(grandchild), within_s=15)


def test_a_stop_waits_for_a_call_but_not_for_what_it_left_behind(serve: Serve, tmp_path: Path) -> None:
    """A19, G02."""
    chaos = Chaos(serve("chaos", "--grace-s", "60", CHAOS_LOG=str(tmp_path / "side.log")), tmp_path / "side.log")
    grandchild = grandchild_of(chaos.server)
    running = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 1})
    eventually(lambda: "sleep" in chaos.events("predict"))
    family = chaos.server.family()
    assert grandchild in family
    assert chaos.server.terminate(within_s=1 + STOP_S) == 0
    assert running.result(1).status == 200
    assert_nothing_is_left(chaos.server, family)


def test_a_killed_server_is_started_again_at_once_on_its_port(serve: Serve, tmp_path: Path) -> None:
    """G09, I03."""
    port = free_port()
    daemons: list[psutil.Process] = []
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        for _ in range(3):
            # Not confined: two that are confined apart may not look at each other's processes.
            server = serve("chaos", "--port", str(port), confine=False, TMPDIR=str(tmp_path), XDG_RUNTIME_DIR="")
            assert server.port == port
            assert len(list(tmp_path.glob("modelserve-run-*"))) == 1, "what the killed one left has gone"
            client.close()
            client.request("GET", "/healthz")
            assert client.getresponse().read()
            family, daemon = server.family(), grandchild_of(server, "daemon")
            server.process.kill()  # while the client's connection is open
            server.process.wait()
            eventually(partial(are_gone, family), within_s=12)
            daemons.append(daemon)
        assert are_gone(daemons[:-1]), "the next start has ended what no signal to a group reaches"
        daemons[-1].kill()


def test_signals_without_a_meaning_have_no_effect_on_a_call_that_runs(chaos: Chaos) -> None:
    """G11."""
    workers = chaos.server.workers()
    names = ("SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGALRM", "SIGCHLD", "SIGURG", "SIGCONT")
    running = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 0.5})
    eventually(lambda: "sleep" in chaos.events("predict"))
    for name in names:
        chaos.server.process.send_signal(getattr(signal, name))
    assert running.result(10).status == 200
    assert chaos.server.workers() == workers


def test_a_server_that_was_suspended_and_continued_serves_on(chaos: Chaos) -> None:
    """G11: as by Ctrl-Z and fg."""
    server = psutil.Process(chaos.server.process.pid)
    server.suspend()
    eventually(lambda: server.status() == psutil.STATUS_STOPPED)
    waiting = chaos.server.predict_soon("chaos", {})
    server.resume()
    assert waiting.result(10).status == 200
