"""Calls that run too long: answered in time, and their worker is ended, whatever it does. Rows A08 to A10, A24."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Serve
from tests.faults.told import assert_told_of_death, counted, faults_logged, shown
from tests.models.installed import side_log
from tests.running import Running, eventually

# How far the answer to a call that overruns may be from its limit, and what a busy machine adds to that.
NEAR_S = 0.5
BUSY_S = 3.0

EVER = 1000

STUCK = [
    ("chaos", "sleep"),
    ("chaos", "spin"),
    ("chaos", "spin_c"),
    ("chaos", "stop"),
    ("chaos-batch", "sleep"),
    ("chaos-batch", "spin_c"),
    ("chaos-batch", "stop"),
    ("chaos-async", "block"),
    ("chaos-async", "spin_c"),
    ("chaos-async", "deaf"),
]

Limited = Callable[..., Running]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "side.log"


@pytest.fixture
def limited(serve: Serve, log: Path) -> Limited:
    """Return a function that starts a server with one worker of a model whose calls may run for a second."""

    def start(model: str = "chaos", limit_s: float = 1.0) -> Running:
        visible = (model.replace("-", "_"),)
        return serve(model, "--predict-timeout-s", str(limit_s), visible=visible, CHAOS_LOG=str(log))

    return start


def assert_times_out(server: Running, model: str, mode: str, limit_s: float = 1.0) -> None:
    """Send a call that never ends, and assert that it is answered 504 when its time is over, not before or later."""
    since = time.monotonic()
    reply = server.predict(model, {"mode": mode, "n": EVER}, **{"X-Request-ID": "fault-overrun"})
    took_s = time.monotonic() - since
    assert (reply.status, reply.json()["code"]) == (504, "predict_timeout")
    assert limit_s - NEAR_S <= took_s <= limit_s + NEAR_S + BUSY_S


@pytest.mark.parametrize(("model", "mode"), STUCK)
def test_a_call_that_overruns_is_answered_in_time_and_its_worker_is_replaced_by_a_warm_one(
    limited: Limited, log: Path, model: str, mode: str
) -> None:
    """A08, A09, A10, A24: asleep, in an endless loop, in C code that holds the interpreter lock, or frozen."""
    server = limited(model)
    (old,) = server.workers()
    with aftermath(server, model):
        assert_times_out(server, model, mode)
        eventually(lambda: not old.is_running(), within_s=15)
    assert_told_of_death(server, model, reason="timeout", words="ran longer than predict_timeout_s = 1")
    assert counted(server, "modelserve_timeouts_total", deployment=model, stage="predict") == 1
    assert shown(server, model)["restarts"] == 1
    assert len({line["pid"] for line in side_log(log, "warm")}) == 2
    assert faults_logged(server, "fault-overrun")


def test_calls_that_were_answered_while_the_server_itself_stood_still_are_in_time(serve: Serve, log: Path) -> None:
    """Y23: their workers are not ended for what the server did not see."""
    server = serve("chaos", "--workers", "2", "--predict-timeout-s", "2", CHAOS_LOG=str(log))
    workers = server.workers()
    futures = [server.predict_soon("chaos", {"mode": "sleep", "n": 0.5}) for _ in range(2)]
    eventually(lambda: len(side_log(log, "predict")) == 2)
    since = time.monotonic()
    server.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: len(side_log(log, "predicted")) == 2)
        eventually(lambda: time.monotonic() > since + 3)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert [future.result(20).status for future in futures] == [200, 200]
    assert counted(server, "modelserve_stalled_seconds_total") > 1
    assert counted(server, "modelserve_worker_exits_total", deployment="chaos") == 0
    assert server.workers() == workers


def test_calls_that_wait_behind_an_endless_one_are_served_by_the_replacement(limited: Limited, log: Path) -> None:
    """A08."""
    server = limited()
    with aftermath(server):
        endless = server.predict_soon("chaos", {"mode": "spin"})
        eventually(lambda: side_log(log, "predict"))
        waiting = [server.predict_soon("chaos", {"text": str(number)}) for number in range(10)]
        assert endless.result(10).status == 504
        replies = [future.result(20) for future in waiting]
    assert [reply.status for reply in replies] == [200] * 10
    assert [reply.json()["predictions"]["text"] for reply in replies] == [str(number) for number in range(10)]


def test_a_worker_deaf_to_sigterm_is_killed(limited: Limited) -> None:
    """A08: terminate, wait, kill."""
    server = limited()
    (old,) = server.workers()
    with aftermath(server):
        assert server.predict("chaos", {"mode": "signals"}).status == 200
        assert_times_out(server, "chaos", "spin")
        eventually(lambda: not old.is_running(), within_s=15)
    assert_told_of_death(server, "chaos", reason="timeout", words="ran longer than predict_timeout_s = 1")


def test_a_worker_that_froze_while_idle_costs_time_and_no_call(limited: Limited) -> None:
    """A10: the call it was sent had not begun, and is run by its replacement."""
    server = limited()
    (old,) = server.workers()
    with aftermath(server):
        os.kill(old.pid, signal.SIGSTOP)
        assert server.predict("chaos", {"mode": "ok"}).status == 200
    assert not old.is_running()
    assert_told_of_death(server, "chaos", reason="timeout", words="ran longer than predict_timeout_s = 1")
    assert counted(server, "modelserve_timeouts_total", deployment="chaos") == 0, "no call was answered 504"


def test_of_two_workers_the_one_that_is_not_stuck_goes_on_serving(serve: Serve, log: Path) -> None:
    """A08, A09."""
    server = serve("chaos", "--workers", "2", "--predict-timeout-s", "2", CHAOS_LOG=str(log))
    with aftermath(server, workers=2):
        endless = server.predict_soon("chaos", {"mode": "spin_c"})
        eventually(lambda: side_log(log, "predict"))
        served = 0
        while not endless.done():
            assert server.predict("chaos", {"mode": "ok"}).status == 200
            served += 1
        assert endless.result().status == 504
    assert served > 1


def test_an_async_call_that_overruns_is_cancelled_and_costs_its_neighbours_nothing(limited: Limited, log: Path) -> None:
    """A08: its worker stays."""
    server = limited("chaos-async", limit_s=2)
    (worker,) = server.workers()
    with aftermath(server, "chaos-async"):
        before = server.predict_soon("chaos-async", {"mode": "sleep", "n": 1})
        eventually(lambda: side_log(log, "predict"))
        overrun = server.predict_soon("chaos-async", {"mode": "sleep", "n": EVER})
        assert before.result(10).status == 200
        assert server.predict("chaos-async", {"mode": "sleep", "n": 1.2}).status == 200, "it spans the other's end"
        assert overrun.result(10).status == 504
        eventually(lambda: side_log(log, "cancelled"))
    assert server.workers() == [worker]
    assert counted(server, "modelserve_worker_exits_total", deployment="chaos-async") == 0


def test_an_async_call_that_overruns_is_answered_in_time_and_named_in_the_log(limited: Limited) -> None:
    """A08."""
    server = limited("chaos-async")
    with aftermath(server, "chaos-async"):
        assert_times_out(server, "chaos-async", "sleep")
    assert len(faults_logged(server, "fault-overrun")) == 1
    assert shown(server, "chaos-async")["restarts"] == 0
