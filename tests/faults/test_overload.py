"""More calls than can be served: refused at once, bounded in memory, and never run too late. Rows F."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.aftermath import MORE_BYTES, aftermath
from tests.faults.burst import Outcome, burst, burst_soon
from tests.faults.conftest import Chaos, Serve, Watched
from tests.faults.frozen import frozen, waiting
from tests.faults.raw import begin
from tests.faults.told import counted
from tests.faults.traffic import traffic
from tests.models.installed import side_log
from tests.running import eventually

# A refusal may take 50 ms, an answer of the health routes 100 ms; single ones more where the machine is busy.
REFUSED_S, HEALTHY_S, BUSY = 0.05, 0.1, 3


def texts(chaos: Chaos, event: str = "predict") -> list[str]:
    """Return the texts of the calls of which the side log tells."""
    return [line["text"] for line in side_log(chaos.side_log, event)]


def assert_refused(outcome: Outcome) -> None:
    assert (outcome.status, outcome.code) == (503, "queue_full")
    assert int(outcome.headers["Retry-After"]) >= 1


def storm(chaos: Chaos, calls: list[dict[str, Any]], *, waits: int) -> list[Outcome]:
    """Send calls at once to a server whose worker is busy and in whose queue so many of them find room."""
    with frozen(chaos):
        refused = counted(chaos.server, "modelserve_requests_total", status="5xx") + len(calls) - waits
        outcomes = burst_soon(chaos.server, "chaos", calls)
        eventually(lambda: counted(chaos.server, "modelserve_requests_total", status="5xx") == refused)
        assert waiting(chaos) == waits
        probe_the_full_queue(chaos)
    return outcomes.result(30)


def probe_the_full_queue(chaos: Chaos) -> None:
    probe = {"text": "probe", "data": "x" * 300_000}
    probes = [burst(chaos.server, "chaos", [probe])[0] for _ in range(20)]
    for outcome in probes:
        assert_refused(outcome)
    assert statistics.median(outcome.took_s for outcome in probes) < REFUSED_S * BUSY


# What storms have in common: arguments of the server, each call, how many come, and how many of them may wait.
STORMS = [
    pytest.param(("--max-queue", "8"), 100_000, 600, 8, id="calls"),
    pytest.param(("--max-queue-bytes", "1MiB"), 300_000, 60, 3, id="bytes"),
]


@pytest.mark.parametrize(("limit", "size", "count", "waits"), STORMS)
def test_of_a_storm_of_calls_those_beyond_the_queue_are_refused_at_once_and_memory_stays_bounded(
    serve: Serve, tmp_path: Path, limit: tuple[str, str], size: int, count: int, waits: int
) -> None:
    """F01, F06: bodies that are on their way at one moment are in memory then; those of three storms do not add up."""
    log = tmp_path / "side.log"
    chaos = Chaos(serve("chaos", *limit, CHAOS_LOG=str(log)), log)
    calls = [{"mode": "sleep", "n": 0.05, "text": "of the storm", "data": "x" * size}] * count  # none is sent ahead
    with aftermath(chaos.server, more_bytes=MORE_BYTES + 2 * size * count):
        outcomes = [outcome for _ in range(3) for outcome in storm(chaos, calls, waits=waits)]
    assert Counter(outcome.status for outcome in outcomes) == {200: 3 * waits, 503: 3 * (count - waits)}
    for outcome in outcomes:
        if outcome.status != 200:
            assert_refused(outcome)
    assert Counter(texts(chaos)) == {"blocker": 3, "of the storm": 3 * waits, "": 1}


def test_beside_bodies_that_fill_the_queue_a_small_one_finds_room(watched: Watched) -> None:
    """F06: what waits is counted in bytes, and told."""
    chaos = watched("chaos", "--max-queue-bytes", "1MiB")
    call = {"text": "large", "data": "x" * 300_000}
    with frozen(chaos):
        large = burst_soon(chaos.server, "chaos", [call] * 3)
        eventually(lambda: counted(chaos.server, "modelserve_queue_bytes") == 3 * len(json.dumps(call)))
        assert_refused(burst(chaos.server, "chaos", [call])[0])
        small = burst_soon(chaos.server, "chaos", [{"text": "small"}])
        eventually(lambda: waiting(chaos) == 4)
    assert [outcome.status for outcome in large.result(20) + small.result(20)] == [200] * 4
    assert counted(chaos.server, "modelserve_queue_bytes") == 0


def test_the_place_and_the_bytes_of_a_client_that_left_the_full_queue_are_free_at_once(watched: Watched) -> None:
    """F06, E05."""
    chaos = watched("chaos", "--max-queue", "2", "--max-queue-bytes", "1MiB")
    with frozen(chaos):
        leavers = [begin(chaos.server, "chaos", {"text": "left", "data": "x" * 500_000}) for _ in range(2)]
        eventually(lambda: waiting(chaos) == 2)
        assert_refused(burst(chaos.server, "chaos", [{"text": "refused"}])[0])
        for connection in leavers:
            connection.close()
        eventually(lambda: waiting(chaos) == 0)
        stays = burst_soon(chaos.server, "chaos", [{"text": "stays", "data": "x" * 500_000}] * 2)
        eventually(lambda: waiting(chaos) == 2)
    assert [outcome.status for outcome in stays.result(20)] == [200, 200]
    assert texts(chaos) == ["blocker", "stays", "stays"]


@pytest.mark.parametrize("is_quick", [False, True])
def test_calls_whose_deadline_passes_while_they_wait_are_never_run(watched: Watched, is_quick: bool) -> None:
    """F03: also where a quick model was sent a whole frame of calls ahead."""
    chaos = watched("chaos")
    burst(chaos.server, "chaos", [{"text": "quick"}] * (300 if is_quick else 0))
    with frozen(chaos):
        since = time.monotonic()
        outcomes = burst(chaos.server, "chaos", [{"text": "late"}] * 60, **{"X-Timeout-S": "0.5"})
        assert time.monotonic() - since < 0.5 * BUSY + 1
        assert {(outcome.status, outcome.code) for outcome in outcomes} == {(504, "queue_timeout")}
        assert all(outcome.took_s > 0.4 for outcome in outcomes)
    assert chaos.server.predict("chaos", {"text": "in time"}, **{"X-Timeout-S": "20"}).status == 200
    assert "late" not in texts(chaos)
    assert counted(chaos.server, "modelserve_timeouts_total", stage="queue") == 60


def test_a_deadline_that_passes_in_mid_predict_answers_the_client_and_costs_no_worker(watched: Watched) -> None:
    """F03."""
    chaos = watched("chaos")
    (worker,) = chaos.server.workers()
    outcome = burst(chaos.server, "chaos", [{"mode": "sleep", "n": 3, "text": "slow"}], **{"X-Timeout-S": "0.3"})[0]
    assert (outcome.status, outcome.code) == (504, "predict_timeout")
    assert outcome.took_s < 2.8
    assert chaos.server.predict("chaos", {}).status == 200
    assert "slow" in texts(chaos, "predicted"), "it was finished and dropped"
    assert chaos.server.workers() == [worker]


def test_a_deadline_that_passes_cancels_an_async_call_and_no_other(watched: Watched) -> None:
    """F03."""
    chaos = watched("chaos-async")
    other = chaos.server.predict_soon("chaos-async", {"mode": "sleep", "n": 1.5, "text": "other"})
    late = {"mode": "sleep", "n": 1000, "text": "late"}
    outcome = burst(chaos.server, "chaos-async", [late], **{"X-Timeout-S": "0.5"})[0]
    assert (outcome.status, outcome.code) == (504, "predict_timeout")
    eventually(lambda: texts(chaos, "cancelled") == ["late"])
    assert other.result(20).status == 200


@pytest.mark.parametrize("load", ["refused", "quick", "large"])
def test_health_and_metrics_answer_soon_whatever_the_load(watched: Watched, load: str) -> None:
    """F05."""
    chaos = watched("chaos", "--max-queue", "4")
    call = {"refused": {}, "quick": {}, "large": {"mode": "big_bytes", "n": 1}}[load]
    with contextlib.ExitStack() as stack:
        if load == "refused":
            stack.enter_context(frozen(chaos))
            burst_soon(chaos.server, "chaos", [{}] * 4)
            eventually(lambda: waiting(chaos) == 4)
        sent = stack.enter_context(traffic(chaos.server, "chaos", call, clients=6, pause_s=0.001))
        took = sorted(seconds for _ in range(20) for seconds in ask_health(chaos))
        assert 503 in sent.statuses if load == "refused" else 200 in sent.statuses
    assert statistics.median(took) < HEALTHY_S
    assert took[int(0.95 * len(took))] < HEALTHY_S * BUSY


def ask_health(chaos: Chaos) -> Iterator[float]:
    """Yield how long each of the routes took that must always answer."""
    for path in ("/healthz", "/readyz", "/metrics"):
        since = time.monotonic()
        assert chaos.server.get(path).status == 200
        yield time.monotonic() - since
