"""Models that upset their own process, and answers too large or cut off. Rows A06, A14, A15, A20."""

from __future__ import annotations

import re
import time
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import MIB, aftermath
from tests.faults.conftest import Chaos, Serve, Watched
from tests.faults.told import assert_told_of_death, counted, faults_logged
from tests.models.installed import side_log
from tests.running import Reply, Running, eventually

# A worker that waits for somebody to read its answer sleeps at so many looks at it in a row.
LOOKS = 10

# What a stop may take: the grace, the time to end by itself, that after SIGTERM, and some for a busy machine.
STOP_S = 1 + 1 + 1 + 5


def test_a_call_for_which_memory_is_too_small_fails_alone(chaos: Chaos) -> None:
    """A06: its worker goes on."""
    workers = chaos.server.workers()
    reply = chaos.server.predict("chaos", {"mode": "oom"}, **{"X-Request-ID": "fault-memory"})
    assert (reply.status, reply.json()["code"]) == (500, "model_error")
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200
    assert chaos.server.workers() == workers
    assert len(faults_logged(chaos.server, "fault-memory")) == 1


def test_a_worker_killed_in_the_middle_of_a_large_answer_costs_that_call_only(watched: Watched) -> None:
    """A14: half a frame has come by then; a call that runs elsewhere and those that come later do not notice."""
    chaos = watched("chaos", workers=2)
    beside = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 3})
    (busy,) = eventually(lambda: side_log(chaos.side_log, "predict"))
    (free,) = [worker for worker in chaos.server.workers() if worker.pid != busy["pid"]]
    reply = kill_in_mid_answer(chaos, free).result(20)
    assert (reply.status, reply.json()["code"]) == (500, "worker_died")
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200
    assert beside.result(20).status == 200
    assert_told_of_death(chaos.server, "chaos", reason="signal", words="signal 9 (SIGKILL)")


def kill_in_mid_answer(chaos: Chaos, worker: psutil.Process) -> Future[Reply]:
    """Let a free worker write into its channel while the server does not read, and kill it when the channel is full."""
    server = psutil.Process(chaos.server.process.pid)
    worker.suspend()
    future = chaos.server.predict_soon("chaos", {"mode": "big", "n": 16})
    eventually(lambda: counted(chaos.server, "modelserve_batch_size_count", deployment="chaos") == 2)
    server.suspend()
    try:
        worker.resume()
        eventually(lambda: "big" in chaos.events("predicted") and is_waiting(worker))
        worker.kill()
    finally:
        server.resume()
    return future


def is_waiting(process: psutil.Process) -> bool:
    for _ in range(LOOKS):
        if process.status() != psutil.STATUS_SLEEPING:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("mode", ["big", "big_bytes"])
def test_an_answer_over_the_limit_is_an_error_and_never_reaches_the_server(watched: Watched, mode: str) -> None:
    """A15."""
    chaos = watched("chaos", "--max-answer-bytes", str(4 * MIB))
    workers, before = chaos.server.workers(), peak_bytes(chaos.server)
    reply = chaos.server.predict("chaos", {"mode": mode, "n": 128}, **{"X-Request-ID": "fault-large"})
    assert (reply.status, reply.json()["code"]) == (500, "bad_answer")
    assert peak_bytes(chaos.server) <= before + 4 * MIB
    assert len(faults_logged(chaos.server, "fault-large")) == 1
    assert chaos.server.predict("chaos", {"mode": mode, "n": 3}).status == 200
    assert chaos.server.workers() == workers


def peak_bytes(server: Running) -> int:
    """Return the most memory that the server's process has had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("mode", ["chdir", "env", "signals", "recursion", "setsid", "thread", "event_loop", "close_fd"])
def test_what_a_model_does_to_its_process_reaches_neither_another_model_nor_the_stop(serve: Serve, mode: str) -> None:
    """A20."""
    server = serve("chaos", "plain", "--grace-s", "1", visible=("chaos", "plain"))
    with aftermath(server, workers=2):
        assert server.predict("chaos", {"mode": mode}).status == 200
        assert server.predict("plain", {"x": 1}).json() == {"y": 2}
    family = server.family()
    assert server.terminate(within_s=STOP_S) == 0
    _, alive = psutil.wait_procs(family, timeout=2)
    assert not alive
    assert list(server.temp.glob("modelserve-run-*")) == []


@pytest.mark.parametrize("mode", ["signals", "recursion", "thread", "env"])
def test_a_worker_that_a_model_has_upset_is_replaced_as_any_other(chaos: Chaos, mode: str) -> None:
    """A20, A24."""
    (old,) = chaos.server.workers()
    assert chaos.server.predict("chaos", {"mode": mode}).status == 200
    old.kill()
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200
    assert len(chaos.events("warmed")) == len(chaos.events("import")) == 2
    state = chaos.server.predict("chaos", {"mode": "state"}).json()["predictions"]
    assert "PYTHONPATH" in state["environ"]
    assert state["cwd"] == str(chaos.server.folder)
