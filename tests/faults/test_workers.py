"""Workers that die, raise and answer nonsense: one call fails, never the server. Rows A, O of the list of faults."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import Chaos, Serve
from tests.models.installed import side_log
from tests.running import Reply, Running, eventually

WARM_S = 10  # far above a warm start, far below a hang


def running_call(chaos: Chaos) -> Any:
    """Start a call that sleeps, and return its future once the model has it."""
    future = chaos.server.predict_soon("chaos", {"mode": "sleep", "n": 30})
    eventually(lambda: "sleep" in chaos.events("predict"))
    return future


def assert_died(reply: Reply) -> None:
    assert reply.status == 500
    assert reply.json()["code"] == "worker_died"
    assert "Retry-After" not in reply.headers, "a retry would carry a deadly call to every worker"


def test_killing_a_worker_in_mid_predict_costs_that_call_at_once_and_the_next_is_served(chaos: Chaos) -> None:
    """A01."""
    future = running_call(chaos)
    chaos.server.workers()[0].kill()
    killed = time.monotonic()
    assert_died(future.result(5))
    assert time.monotonic() - killed < 3
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200, "the next call waits for the replacement"


def test_calls_that_only_waited_are_served_by_the_replacement(chaos: Chaos) -> None:
    """A01."""
    future = running_call(chaos)
    waiting = [chaos.server.predict_soon("chaos", {"text": str(number)}) for number in range(10)]
    chaos.server.workers()[0].kill()
    assert_died(future.result(5))
    replies = [reply.result(WARM_S) for reply in waiting]
    assert [reply.status for reply in replies] == [200] * 10
    assert [reply.json()["predictions"]["text"] for reply in replies] == [str(number) for number in range(10)]


def test_killing_an_idle_worker_fails_no_call(chaos: Chaos) -> None:
    """A02."""
    old = chaos.server.workers()[0]
    old.kill()
    assert chaos.server.predict("chaos", {}).status == 200
    assert chaos.server.workers()[0].pid != old.pid


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("segv", "signal 11 (SIGSEGV)"), ("exit0", "status 0"), ("exit3", "status 3"), ("kill", "signal 9 (SIGKILL)")],
)
def test_a_model_that_ends_its_process_costs_its_call_and_the_log_says_how_it_ended(
    chaos: Chaos, mode: str, reason: str
) -> None:
    """A03, A04."""
    assert_died(chaos.server.predict("chaos", {"mode": mode}))
    eventually(lambda: reason in chaos.server.log)
    if mode == "segv":
        eventually(lambda: "Fatal Python error: Segmentation fault" in chaos.server.log)
    kind = "signal" if "signal" in reason else "exit"
    exits = f'modelserve_worker_exits_total{{deployment="chaos",reason="{kind}"}} 1.0'
    assert exits in chaos.server.get("/metrics").body.decode()


@pytest.mark.parametrize("mode", ["sysexit", "kbint", "genexit", "raise_group"])
def test_exceptions_that_end_programs_do_not_end_a_worker(chaos: Chaos, mode: str) -> None:
    """A05."""
    worker = chaos.server.workers()[0].pid
    reply = chaos.server.predict("chaos", {"mode": mode})
    assert (reply.status, reply.json()["code"]) == (500, "model_error")
    assert chaos.server.workers()[0].pid == worker


@pytest.mark.parametrize(
    "mode", ["raise", "raise_twoarg", "raise_local", "raise_str", "raise_hugemsg", "unpick_inside", "socket_inside"]
)
def test_exceptions_and_answers_that_cannot_be_pickled_are_plain_failures(chaos: Chaos, mode: str) -> None:
    """A12, A13, A16: nothing of the exception reaches the client, and the log is one bounded record."""
    worker = chaos.server.workers()[0].pid
    reply = chaos.server.predict("chaos", {"mode": mode}, **{"X-Request-ID": f"fault-{mode}"})
    assert reply.status == 500
    assert reply.json()["code"] in ("model_error", "bad_answer")
    assert b"hunter2" not in reply.body
    assert set(reply.json()) == {"message", "code", "request_id"}
    assert chaos.server.workers()[0].pid == worker
    eventually(lambda: f"fault-{mode}" in chaos.server.log)
    assert len(chaos.server.log) < 50_000
    assert "\x1b" not in chaos.server.log


@pytest.mark.parametrize(("mode", "status"), [("bad_request", 400), ("not_found", 404)])
def test_a_model_may_answer_its_client_with_our_errors(chaos: Chaos, mode: str, status: int) -> None:
    """A17."""
    reply = chaos.server.predict("chaos", {"mode": mode, "text": "No such <cat>."})
    assert (reply.status, reply.json()["message"]) == (status, "No such <cat>.")


def test_a_replacement_is_warm_before_it_serves(serve: Serve, tmp_path: Any) -> None:
    """A24: warm ran once for each start, and before the worker's first call."""
    log = tmp_path / "side.log"
    server = serve("chaos", CHAOS_LOG=str(log), CHAOS_WARM_S="0.5")
    chaos = Chaos(server, log)
    assert_died(server.predict("chaos", {"mode": "exit3"}))
    since = time.monotonic()
    assert server.predict("chaos", {"mode": "ok"}).status == 200
    assert time.monotonic() - since > 0.4, "it waited for the replacement's warming"
    assert len(chaos.events("warm")) == len(chaos.events("import")) == 2


def test_with_two_workers_the_other_goes_on_serving(serve: Serve, tmp_path: Any) -> None:
    """A01."""
    chaos = Chaos(serve("chaos", "--workers", "2", CHAOS_LOG=str(tmp_path / "side.log")), tmp_path / "side.log")
    future = running_call(chaos)
    assert len(chaos.server.workers()) == 2
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200, "the free worker answers"
    for worker in chaos.server.workers():
        worker.kill()
    assert_died(future.result(5))
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200


@pytest.mark.parametrize("mode", ["fork", "daemon"])
def test_grandchildren_of_a_dead_worker_end_with_it(chaos: Chaos, mode: str) -> None:
    """A19: in the worker's process group, or in a session of their own."""
    grandchild = chaos.server.predict("chaos", {"mode": mode, "n": 300}).json()["predictions"]["grandchild"]
    assert psutil.pid_exists(grandchild)
    chaos.server.workers()[0].kill()
    eventually(lambda: not psutil.pid_exists(grandchild), within_s=15)


def test_a_model_that_closes_or_floods_its_outputs_keeps_its_channel(chaos: Chaos) -> None:
    """A18."""
    assert chaos.server.predict("chaos", {"mode": "stdout_flood"}).status == 200
    assert chaos.server.predict("chaos", {"mode": "close_fd"}).status == 200
    assert chaos.server.predict("chaos", {"mode": "ok"}).status == 200
    assert chaos.server.stdout.count("\n") == 1, "standard output belongs to the server"


def test_the_server_runs_no_model_code_and_a_worker_no_server_code(chaos: Chaos) -> None:
    """A21: aiohttp, click and the command line are not in a worker; the model is not in the server."""
    modules = set(chaos.server.predict("chaos", {"mode": "state"}).json()["predictions"]["modules"])
    assert not modules & {
        "aiohttp",
        "click",
        "uvloop",
        "rich",
        "modelserve.cli",
        "modelserve.server",
        "asyncio",
        "numpy",
    }
    maps = psutil.Process(chaos.server.process.pid).memory_maps()
    assert not [entry.path for entry in maps if "chaos" in entry.path]


def test_a_worker_is_pinned_and_marked_for_the_out_of_memory_killer(chaos: Chaos) -> None:
    """A07."""
    state = chaos.server.predict("chaos", {"mode": "state"}).json()["predictions"]
    assert state["cpus"] == sorted(psutil.Process(chaos.server.process.pid).cpu_affinity() or [])
    assert state["environ"]["OMP_NUM_THREADS"] == str(len(state["cpus"]))
    assert state["environ"]["CUDA_VISIBLE_DEVICES"] == ""
    assert state["oom_score_adj"] > 0
    assert state["group"] == state["pid"], "it leads a process group of its own"


BATCH = "chaos-batch"


def soon(server: Running, calls: list[dict[str, Any]]) -> list[Reply]:
    """Send calls at once behind one that keeps the worker busy, so that they are predicted together."""
    blocker = server.predict_soon(BATCH, {"mode": "sleep", "n": 1})
    eventually(lambda: side_log(server.folder / "side.log", "predict"))
    futures = [server.predict_soon(BATCH, call) for call in calls]
    replies = [future.result(20) for future in futures]
    assert blocker.result(20).status == 200
    return replies


@pytest.mark.parametrize("mode", ["too_few", "too_many", "not_a_list"])
def test_a_batch_with_a_wrong_number_of_answers_answers_nobody(serve: Serve, tmp_path: Path, mode: str) -> None:
    """O01."""
    server = serve(BATCH, visible=("chaos_batch",), CHAOS_LOG=str(tmp_path / "side.log"))
    reply = server.predict(BATCH, {"mode": mode})
    assert (reply.status, reply.json()["code"]) == (500, "bad_answer")
    assert server.predict(BATCH, {"mode": "ok"}).status == 200


def test_one_call_that_raises_does_not_spoil_its_batch(serve: Serve, tmp_path: Path) -> None:
    """O03: the batch is run again, each call alone."""
    server = serve(BATCH, visible=("chaos_batch",), CHAOS_LOG=str(tmp_path / "side.log"))
    replies = soon(server, [{"mode": "ok"}] * 3 + [{"mode": "raise"}] + [{"mode": "ok"}] * 3)
    assert [reply.status for reply in replies] == [200] * 3 + [500] + [200] * 3


def test_one_invalid_call_is_refused_and_its_neighbours_are_predicted(serve: Serve, tmp_path: Path) -> None:
    """O03."""
    server = serve(BATCH, visible=("chaos_batch",), CHAOS_LOG=str(tmp_path / "side.log"))
    replies = soon(server, [{"mode": "ok"}, {"mode": "no such mode"}, {"mode": "ok"}])
    assert [reply.status for reply in replies] == [200, 422, 200]


def test_one_call_that_kills_the_worker_costs_only_itself(serve: Serve, tmp_path: Path) -> None:
    """O04."""
    server = serve(BATCH, visible=("chaos_batch",), CHAOS_LOG=str(tmp_path / "side.log"))
    replies = soon(server, [{"mode": "ok"}] * 2 + [{"mode": "exit3"}] + [{"mode": "ok"}] * 2)
    assert [reply.status for reply in replies] == [200, 200, 500, 200, 200]
