"""Workers that keep dying, and what is told of each death. Rows A11, A23 and the reasons of A01 to A04."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from modelserve.messages import Answer
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from tests.faults.aftermath import aftermath
from tests.faults.conftest import Chaos, Serve
from tests.faults.told import assert_told_of_death, command, faults_logged, shown
from tests.models.installed import side_log
from tests.running import Reply, Running, eventually
from tests.runtime.workers import CHAOS, ask

BUDGET = 3

# The pauses before the replacements of a worker that dies as soon as it is warm; slot.py doubles them.
PAUSES_S = (0.0, 0.25, 0.5)


@pytest.mark.parametrize(
    ("mode", "reason", "words"),
    [
        ("kill", "signal", "signal 9 (SIGKILL)"),
        ("segv", "signal", "signal 11 (SIGSEGV)"),
        ("exit0", "exit", "exited with status 0"),
        ("exit3", "exit", "exited with status 3"),
    ],
)
def test_the_reason_of_a_death_is_in_the_log_the_metrics_and_the_status(
    chaos: Chaos, mode: str, reason: str, words: str
) -> None:
    """A01, A03, A04; the reason timeout is in test_timeouts.py."""
    chaos.server.predict("chaos", {"mode": mode}, **{"X-Request-ID": "fault-death"})
    assert_told_of_death(chaos.server, "chaos", reason=reason, words=words)
    assert len(faults_logged(chaos.server, "fault-death")) == 1
    eventually(lambda: shown(chaos.server, "chaos")["restarts"] == 1)


def test_a_worker_that_ends_between_calls_is_told_of_too(chaos: Chaos) -> None:
    """A02, A04."""
    assert chaos.server.predict("chaos", {"mode": "exit_later"}).status == 200
    assert_told_of_death(chaos.server, "chaos", reason="exit", words="exited with status 3")
    assert "exited with status 3 while it ran no call" in chaos.server.log


def poison(server: Running, count: int) -> list[Reply]:
    """Send deadly calls one after the other; another model is asked between them, and always answers."""
    replies = []
    for _ in range(count):
        replies.append(server.predict("chaos", {"mode": "exit3"}))
        assert server.predict("plain", {"x": 1}).json() == {"y": 2}
    return replies


def serve_both(serve: Serve, log: Path) -> Running:
    budget = ("--restart-budget", str(BUDGET))
    return serve("chaos", "plain", *budget, visible=("chaos", "plain"), CHAOS_LOG=str(log))


def test_poison_costs_no_more_than_the_budget_and_only_that_model(serve: Serve, tmp_path: Path) -> None:
    """A11: then its calls are refused, until an operator has it reloaded."""
    server = serve_both(serve, log := tmp_path / "side.log")
    with aftermath(server, workers=2):
        replies = poison(server, 20)
        assert Counter(reply.json()["code"] for reply in replies) == {
            "worker_died": 1 + BUDGET,
            "not_ready": 19 - BUDGET,
        }
        assert all(int(reply.headers["Retry-After"]) >= 1 for reply in replies if reply.status == 503)
        assert_out_of_service(server)
        starts = [line["monotonic_s"] for line in side_log(log, "import")]
        between = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert len(between) == BUDGET
        assert all(seconds >= pause for seconds, pause in zip(between, PAUSES_S, strict=True))
        assert command(server, "reload", "chaos").status == 0


def assert_out_of_service(server: Running) -> None:
    reported = shown(server, "chaos")
    assert (reported["status"], reported["restarts"]) == ("failed", BUDGET)
    assert "keep dying" in reported["message"]
    statuses = {model["id"]: model["status"] for model in server.get("/v2/models/").json()["models"]}
    assert statuses == {"chaos": "failed", "plain": "ready"}
    assert server.get("/readyz").status == 200, "it stays in the load balancer for the others"


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_a_model_that_was_poisoned_serves_again_by_itself_a_minute_later(serve: Serve, tmp_path: Path) -> None:
    """A11."""
    server = serve_both(serve, tmp_path / "side.log")
    with aftermath(server, workers=2):
        poison(server, 2 + BUDGET)
        since = time.monotonic()
        eventually(lambda: server.predict("chaos", {"mode": "ok"}).status == 200, within_s=70)
        assert time.monotonic() - since > 30, "no replacement came before its time"


def test_workers_outlive_the_thread_that_started_them(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A23: the parent-death signal of Linux would end them with that thread."""
    monkeypatch.syspath_prepend(packages["chaos"])
    fleet = Fleet([CHAOS], Settings(temp_dir=str(tmp_path)))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        starting = threading.Thread(target=lambda: runner.run(start(fleet)))
        starting.start()
        starting.join()
        eventually(lambda: not os.path.exists(f"/proc/self/task/{starting.native_id}"))
        runner.run(use_and_end(fleet))


async def start(fleet: Fleet) -> None:
    await fleet.__aenter__()
    await fleet.started()


async def use_and_end(fleet: Fleet, for_s: float = 1.0) -> None:
    try:
        chaos = fleet.find("chaos")
        workers, answers, end = chaos.workers, list[Answer](), time.monotonic() + for_s
        while time.monotonic() < end:
            answers.append(await chaos.call(ask(0)))
        assert not [answer.failure for answer in answers if answer.failure]
        assert chaos.workers == workers
        assert chaos.status_report().last_exit is None
    finally:
        await fleet.__aexit__(None, None, None)


def test_in_a_storm_of_deadly_calls_nobody_waits_long(chaos: Chaos) -> None:
    """X22: who would have to wait for one death after the other is told to come back."""
    since = time.monotonic()
    deadly = [chaos.server.predict_soon("chaos", {"mode": "exit3"}) for _ in range(16)]
    replies = [future.result(60) for future in deadly]
    assert time.monotonic() - since < 20, "sixteen deaths in turn take twice that"
    codes = Counter(reply.json()["code"] for reply in replies)
    assert set(codes) == {"worker_died", "not_ready"}
    assert codes["worker_died"] >= 3
    refused = [reply for reply in replies if reply.status == 503]
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
