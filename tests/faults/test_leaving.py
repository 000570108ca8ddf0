"""Clients that leave before they have an answer: no call is run for nobody, and no worker is lost. Rows E05, E06."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Watched
from tests.faults.frozen import frozen, waiting
from tests.faults.leaving import leave, leave_in_mid_predict, noted
from tests.faults.raw import begin
from tests.faults.told import counted
from tests.models.installed import side_log
from tests.running import eventually, multipart

ROUNDS = 50


@pytest.mark.parametrize("model", ["chaos", "chaos-async"])
def test_the_waiting_calls_of_clients_that_left_are_never_run(watched: Watched, model: str) -> None:
    """E05: 20 of them, half by a reset, and what was sent ahead too."""
    chaos = watched(model, CHAOS_CONCURRENCY="1")
    with frozen(chaos, model):
        leavers = [begin(chaos.server, model, {"text": "left"}) for _ in range(20)]
        stays = chaos.server.predict_soon(model, {"text": "stays"})
        eventually(lambda: waiting(chaos) == 21)
        for number, connection in enumerate(leavers):
            leave(connection, rudely=number % 2 == 0)
        eventually(lambda: waiting(chaos) == 1)
    assert stays.result(20).status == 200
    assert noted(chaos, "predict") == ["blocker", "stays"]


def test_the_uploads_of_a_client_that_left_the_queue_are_deleted_at_once(watched: Watched) -> None:
    """E05."""
    chaos = watched("chaos")
    body, kind = multipart({"text": "left"}, {"file": ("a.bin", b"x" * 100_000, "application/x-chaos")})
    with frozen(chaos):
        with begin(chaos.server, "chaos", body, headers={"Content-Type": kind}):
            eventually(lambda: waiting(chaos) == 1)
            assert chaos.server.uploads()
        eventually(lambda: not chaos.server.uploads())
    assert noted(chaos, "predict") == ["blocker"]


def test_a_running_call_whose_client_left_is_finished_and_its_worker_stays_warm(watched: Watched) -> None:
    """E06."""
    chaos = watched("chaos")
    before = chaos.server.workers()
    for number in range(ROUNDS):
        call = {"mode": "sleep", "n": 0.03, "text": f"left {number}"}
        leave_in_mid_predict(chaos, "chaos", call, rudely=number % 2 == 0)
    eventually(lambda: len(noted(chaos, "predicted")) == ROUNDS)
    assert chaos.server.workers() == before
    assert len(side_log(chaos.side_log, "warm")) == 1
    assert counted(chaos.server, "modelserve_worker_exits_total") == 0


def test_the_answers_of_clients_that_left_leave_nothing_behind(watched: Watched) -> None:
    """E06: files and large answers, whether they left before or after they were sent; see the aftermath."""
    chaos = watched("chaos")
    for number in range(30):
        mode = ("out_ok", "big_bytes", "png")[number % 3]
        size = {"out_ok": 300_000, "big_bytes": 1}.get(mode)
        connection = begin(chaos.server, "chaos", {"mode": mode, "n": size, "text": "application/x-chaos"})
        if number % 2:
            connection.recv(100)
        leave(connection, rudely=number % 4 < 2)
    eventually(lambda: counted(chaos.server, "modelserve_requests_total", operation="predict") == 30)


def test_an_async_call_whose_client_left_is_cancelled_and_no_other(watched: Watched) -> None:
    """E06."""
    chaos = watched("chaos-async")
    before = chaos.server.workers()
    others = [chaos.server.predict_soon("chaos-async", {"mode": "sleep", "n": 1.5, "text": "stays"}) for _ in range(3)]
    for number in range(5):
        leave_in_mid_predict(chaos, "chaos-async", {"mode": "sleep", "n": 1000, "text": f"left {number}"})
    eventually(lambda: sorted(noted(chaos, "cancelled")) == [f"left {number}" for number in range(5)])
    assert [other.result(20).status for other in others] == [200] * 3
    assert chaos.server.workers() == before


def test_where_it_is_chosen_the_worker_of_a_client_that_left_is_ended_within_the_budget(watched: Watched) -> None:
    """E06: cancel_running = "kill"; beyond the budget of restarts calls are finished as they are by default."""
    chaos = watched("chaos", "--cancel-running", "kill", "--restart-budget", "3")
    for number in range(3):
        worker = leave_in_mid_predict(chaos, "chaos", {"mode": "spin_c", "text": f"left {number}"})
        worker.wait(5)
    eventually(lambda: counted(chaos.server, "modelserve_worker_exits_total", reason="cancelled") == 3)
    (last,) = eventually(chaos.server.workers)
    worker = leave_in_mid_predict(chaos, "chaos", {"mode": "sleep", "n": 1, "text": "beyond"})
    eventually(lambda: "beyond" in noted(chaos, "predicted"))
    assert worker == last
    assert chaos.server.workers() == [last]
    assert counted(chaos.server, "modelserve_worker_exits_total") == 3


def test_where_it_is_chosen_batch_mates_of_a_client_that_left_are_run_again(watched: Watched) -> None:
    """E06, O05."""
    chaos = watched("chaos-batch", "--cancel-running", "kill", "--batch-wait-ms", "300")
    mates = [chaos.server.predict_soon("chaos-batch", {"text": str(number)}) for number in range(3)]
    connection = begin(chaos.server, "chaos-batch", {"mode": "sleep", "n": 30, "text": "left"})
    eventually(lambda: side_log(chaos.side_log, "predict"))
    leave(connection)
    assert [mate.result(20).json()["predictions"]["text"] for mate in mates] == ["0", "1", "2"]
    eventually(lambda: counted(chaos.server, "modelserve_worker_exits_total", reason="cancelled") == 1)
