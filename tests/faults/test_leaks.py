"""Workers that leak with each call: recycled one at a time, each when its own calls are over. Row A22.

What else there is to recycling is in test_recycling.py.
"""

from __future__ import annotations

from tests.faults.conftest import Chaos, Watched
from tests.faults.told import counted, shown
from tests.faults.traffic import traffic
from tests.models.installed import side_log
from tests.running import Running, eventually

WORKERS = 2
CALLS = 300

# A worker's own limit is up to a tenth more or less.
MAX_CALLS = 40
FEWEST_CALLS = 36


def test_leaking_workers_are_recycled_one_at_a_time_after_their_calls_and_no_call_fails(watched: Watched) -> None:
    """A22."""
    chaos = watched("chaos", "--max-calls", str(MAX_CALLS), workers=WORKERS)
    at_once: set[int] = set()

    with traffic(chaos.server, "chaos", {"mode": "leak"}, clients=2, pause_s=0.02) as sent:

        def is_over() -> bool:
            at_once.add(len(chaos.server.workers()))
            return len(sent.replies) >= CALLS and recycled(chaos.server) >= 2 * WORKERS

        eventually(is_over, within_s=50)
    assert sent.statuses == {200}
    assert max(at_once) <= WORKERS + 1, "one at a time"
    eventually(lambda: len(chaos.server.workers()) == WORKERS)
    assert_each_served_its_calls(chaos)
    assert_none_died(chaos)


def recycled(server: Running) -> float:
    return counted(server, "modelserve_worker_exits_total", deployment="chaos", reason="recycled")


def assert_each_served_its_calls(chaos: Chaos) -> None:
    alive = {worker.pid for worker in chaos.server.workers()}
    served = [line["pid"] for line in side_log(chaos.side_log, "predict")]
    assert all(served.count(pid) >= FEWEST_CALLS for pid in set(served) - alive)


def assert_none_died(chaos: Chaos) -> None:
    assert recycled(chaos.server) == counted(chaos.server, "modelserve_worker_exits_total", deployment="chaos")
    reported = shown(chaos.server, "chaos")
    assert (reported["status"], reported["restarts"], reported["last_exit"]["reason"]) == ("ready", 0, "recycled")
    assert len(chaos.events("warmed")) == len(chaos.events("import"))
    assert " ERROR " not in chaos.server.log
