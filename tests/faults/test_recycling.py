"""Workers that are replaced because they have served long enough or grown too large: no call fails for it. Row A22."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Serve
from tests.faults.traffic import traffic
from tests.models.installed import side_log
from tests.running import Running, eventually

MIB = 1024 * 1024


def recycled(server: Running) -> int:
    text = server.get("/metrics").body.decode()
    found = re.search(
        r'^modelserve_worker_exits_total\{deployment="chaos",reason="recycled"\} (\d+)', text, re.MULTILINE
    )
    return int(found[1]) if found else 0


def test_workers_that_have_answered_max_calls_are_replaced_under_load_without_a_failed_call(
    serve: Serve, tmp_path: Path
) -> None:
    """A22."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--workers", "2", "--max-calls", "50", CHAOS_LOG=str(log))
    first = {worker.pid for worker in server.workers()}
    with aftermath(server, workers=2), traffic(server, "chaos", {}) as sent:
        eventually(lambda: recycled(server) >= 3, within_s=30)
        sent.goes_on()
    assert sent.statuses == {200}
    assert not first & {worker.pid for worker in server.workers()}
    assert "modelserve_worker_restarts_total{" not in restarts_above_zero(server), "recycling is no restart"
    assert len(side_log(log, "warm")) == len(side_log(log, "import"))


def restarts_above_zero(server: Running) -> str:
    lines = server.get("/metrics").body.decode().splitlines()
    return "\n".join(line for line in lines if "restarts_total{" in line and not line.endswith(" 0.0"))


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_workers_that_have_grown_too_large_are_replaced_without_a_failed_call(serve: Serve, busy: bool) -> None:
    """A22."""
    server = serve("chaos", "--workers", "2", "--max-rss-mb", "150")
    first = {worker.pid for worker in server.workers()}
    with aftermath(server, workers=2):
        if busy:
            with traffic(server, "chaos", {"mode": "leak", "n": 5}, clients=2, pause_s=0.05) as sent:
                eventually(lambda: recycled(server) >= 2, within_s=30)
            assert sent.statuses == {200}
        else:
            assert server.predict("chaos", {"mode": "leak", "n": 150}).status == 200
            eventually(lambda: recycled(server) >= 1, within_s=30)
        eventually(lambda: not [worker for worker in server.workers() if rss(worker) > 150 * MIB], within_s=30)
    assert "as it had grown to" in server.log
    assert first != {worker.pid for worker in server.workers()}


def rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def test_a_worker_that_is_to_be_recycled_serves_on_while_no_new_one_can_be_started(
    serve: Serve, tmp_path: Path
) -> None:
    """A22."""
    switches = tmp_path / "switches"
    server = serve("chaos", "--max-calls", "20", CHAOS_SWITCHES=str(switches))
    (old,) = server.workers()
    switches.write_text('{"CHAOS_WARM": "raise"}')
    with aftermath(server), traffic(server, "chaos", {}) as sent:
        eventually(lambda: "cannot be recycled, it serves on" in server.log)
        sent.goes_on()
    assert sent.statuses == {200}
    assert server.workers() == [old]
