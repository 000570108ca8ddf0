"""Models that do not come to an end of loading or warming, and replacements that do not. Rows B02, B07, B08."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Serve
from tests.faults.told import counted, shown
from tests.models.installed import flip, side_log
from tests.running import Running, eventually

BOTH = ("plain", "chaos")
LIMITS = ("--load-timeout-s", "2", "--warm-timeout-s", "2")


def assert_refused(server: Running) -> None:
    reply = server.predict("chaos", {})
    assert (reply.status, reply.json()["code"]) == (503, "not_ready")
    assert int(reply.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("fault", ["hang", "spin", "stop"])
@pytest.mark.parametrize("stage", ["import", "warm"])
def test_a_model_that_never_loads_or_warms_is_ended_in_time_and_the_others_serve(
    serve: Serve, tmp_path: Path, stage: str, fault: str
) -> None:
    """B02, B07."""
    log = tmp_path / "side.log"
    server = serve(*BOTH, *LIMITS, visible=BOTH, CHAOS_LOG=str(log), **{f"CHAOS_{stage.upper()}": fault})
    (line, *_) = side_log(log, stage)
    assert not psutil.pid_exists(line["pid"])
    assert server.get("/readyz").json()["deployments"] == {"plain": "ready", "chaos": "failed"}
    assert_refused(server)
    assert server.predict("plain", {"x": 1}).json() == {"y": 2}
    assert ("load" if stage == "import" else stage) + "_timeout_s" in server.log


@pytest.mark.parametrize("stage", ["IMPORT", "WARM"])
def test_a_server_that_still_starts_is_alive_and_ends_when_it_is_told(serve: Serve, tmp_path: Path, stage: str) -> None:
    """B02, B07: with time limits that are far away."""
    log = tmp_path / "side.log"
    server = serve("chaos", wait=False, CHAOS_LOG=str(log), **{f"CHAOS_{stage}": "spin"})
    server.port = eventually(lambda: listening(server), within_s=20)
    eventually(lambda: side_log(log, stage.lower()), within_s=20)
    assert server.get("/healthz").status == 200
    assert server.get("/readyz").status == 503
    assert_refused(server)
    family = server.family()
    assert server.terminate(within_s=18) == 0
    assert not psutil.wait_procs(family, timeout=2)[1]


def listening(server: Running) -> int:
    """Return the port that a server has opened, 0 while it has none."""
    ports = [at.laddr.port for at in psutil.Process(server.process.pid).net_connections("tcp") if at.status == "LISTEN"]
    return ports[0] if ports else 0


@pytest.fixture
def crashing(serve: Serve, tmp_path: Path) -> Iterator[tuple[Running, Path]]:
    """Yield a server whose model was healthy at the start, and the file that says how it starts from now on."""
    switches = tmp_path / "switches.json"
    flip(switches)
    server = serve(*BOTH, *LIMITS, visible=BOTH, CHAOS_SWITCHES=str(switches), CHAOS_LOG=str(tmp_path / "side.log"))
    with aftermath(server, workers=2):
        yield server, switches


@pytest.mark.parametrize("fault", ["exit", "segv"])
def test_replacements_that_crash_while_they_warm_fail_the_model_until_one_is_well(
    crashing: tuple[Running, Path], fault: str
) -> None:
    """B08: calls wait for a while, then they are refused; nothing is started in a hurry, and all is well by itself."""
    server, switches = crashing
    flip(switches, CHAOS_WARM=fault)
    waits = server.predict_soon("chaos", {"mode": "exit3"})
    assert waits.result(10).json()["code"] == "worker_died"
    eventually(lambda: shown(server, "chaos")["status"] == "failed", within_s=20)
    assert_refused(server)
    assert server.predict("plain", {"x": 1}).json() == {"y": 2}
    assert counted(server, "modelserve_worker_restarts_total", deployment="chaos") <= 5
    flip(switches)
    eventually(lambda: server.predict("chaos", {}).status == 200, within_s=20)


def test_replacements_that_crash_forever_are_started_no_more_often_than_the_budget_allows(
    serve: Serve, tmp_path: Path
) -> None:
    """B08."""
    switches, log = tmp_path / "switches.json", tmp_path / "side.log"
    flip(switches)
    env = {"CHAOS_SWITCHES": str(switches), "CHAOS_LOG": str(log)}
    server = serve(*BOTH, "--restart-budget", "2", visible=BOTH, **env)
    with aftermath(server, "plain", workers=1):
        flip(switches, CHAOS_WARM="exit")
        assert server.predict("chaos", {"mode": "exit3"}).status == 500
        eventually(lambda: "keep dying" in server.log)
        assert_refused(server)
        assert len(side_log(log, "warm")) == 1 + 2
