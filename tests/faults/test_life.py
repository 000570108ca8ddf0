"""How a server ends: asked, asked while it works, and killed. Rows G of the list of faults."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Chaos, Serve
from tests.running import are_gone, eventually


@pytest.fixture
def chaos(serve: Serve, tmp_path: Path) -> Chaos:
    log = tmp_path / "side.log"
    return Chaos(serve("chaos", "--grace-s", "2", CHAOS_LOG=str(log)), log)


def assert_nothing_is_left(chaos: Chaos, family: list[psutil.Process], within_s: float = 6) -> None:
    eventually(lambda: are_gone(family), within_s=within_s)


def begin(chaos: Chaos, mode: str, n: float) -> None:
    chaos.server.predict_soon("chaos", {"mode": mode, "n": n})
    eventually(lambda: mode in chaos.events("predict"))


def test_sigterm_ends_an_idle_server_at_once_with_status_0(chaos: Chaos) -> None:
    """G01."""
    family = chaos.server.family()
    since = time.monotonic()
    assert chaos.server.terminate(within_s=10) == 0
    assert time.monotonic() - since < 6
    assert_nothing_is_left(chaos, family)
    assert list(chaos.server.temp.iterdir()) == []


def test_sigterm_lets_running_calls_finish_and_refuses_new_ones(chaos: Chaos) -> None:
    """G02."""
    running = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 1.5})
    eventually(lambda: "sleep" in chaos.events("predict"))
    chaos.server.process.terminate()
    eventually(lambda: chaos.server.get("/readyz").status == 503)
    refused = chaos.server.predict("chaos", {})
    assert (refused.status, refused.json()["code"]) == (503, "stopping")
    assert "Retry-After" in refused.headers
    assert running.result(5).status == 200
    assert chaos.server.process.wait(3) == 0


def test_a_call_that_outlasts_the_grace_is_answered_and_the_server_ends_in_time(chaos: Chaos) -> None:
    """G03."""
    running = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 1000})
    eventually(lambda: "sleep" in chaos.events("predict"))
    family = chaos.server.family()
    since = time.monotonic()
    assert chaos.server.terminate(within_s=20) == 0
    assert time.monotonic() - since < 3 * (2 + 2)
    reply = running.result(1)
    assert (reply.status, reply.json()["code"]) == (503, "stopping")
    assert_nothing_is_left(chaos, family)


def test_a_second_signal_skips_the_grace(serve: Serve, tmp_path: Path) -> None:
    """G05."""
    log = tmp_path / "side.log"
    chaos = Chaos(serve("chaos", "--grace-s", "60", CHAOS_LOG=str(log)), log)
    begin(chaos, "sleep", 1000)
    family = chaos.server.family()
    chaos.server.process.terminate()
    eventually(lambda: chaos.server.get("/readyz").status == 503)
    assert chaos.server.terminate(within_s=12) == 0
    assert_nothing_is_left(chaos, family)


def test_ctrl_c_reaches_the_whole_group_and_makes_one_clean_stop(chaos: Chaos) -> None:
    """G06."""
    os.killpg(chaos.server.process.pid, signal.SIGINT)
    assert chaos.server.process.wait(5) == 0
    assert "Traceback" not in chaos.server.log
    assert "KeyboardInterrupt" not in chaos.server.log


@pytest.mark.parametrize("mode", ["sleep", "spin_c", "spin", "stop"])
def test_when_the_server_is_killed_its_workers_end_whatever_they_do(chaos: Chaos, mode: str) -> None:
    """G08."""
    grandchild = chaos.server.predict("chaos", {"mode": "fork", "n": 300}).json()["predictions"]["grandchild"]
    begin(chaos, mode, 300)
    family = [*chaos.server.family(), psutil.Process(grandchild)]
    chaos.server.process.kill()
    assert_nothing_is_left(chaos, family)
