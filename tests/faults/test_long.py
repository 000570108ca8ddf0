"""Long runs, by ``tox -e soak`` only: nothing grows and nothing is lost. Rows R of the list of faults."""

from __future__ import annotations

import contextlib
import http.client
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.faults.conftest import Serve
from tests.running import Running, eventually

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

CLIENTS = 8
MIB = 1024 * 1024


def predict_often(server: Running, model: str, body: bytes, count: int) -> Counter[int]:
    """Send ``count`` requests over one connection; return how often each status came."""
    seen: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(count):
        connection.request("POST", f"/v2/models/{model}/predict/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        seen[response.status] += 1
    connection.close()
    return seen


def load(server: Running, model: str, body: bytes, count: int) -> Counter[int]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = pool.map(lambda share: predict_often(server, model, body, share), [count // CLIENTS] * CLIENTS)
        return sum(parts, Counter())


def test_a_hundred_thousand_predictions_leave_the_server_as_it_was(serve: Serve) -> None:
    """R01."""
    server = serve("plain", "--workers", "2", visible=("plain",))
    process = psutil.Process(server.process.pid)
    load(server, "plain", b'{"x": 1}', 10_000)
    before = (process.memory_info().rss, process.num_fds(), process.num_threads())
    assert load(server, "plain", b'{"x": 1}', 100_000) == {200: 100_000}
    rss, descriptors, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
    assert rss - before[0] <= 5 * MIB
    assert (descriptors, threads) == (before[1], before[2])


def test_workers_killed_at_random_cost_only_the_calls_they_ran(serve: Serve) -> None:
    """R04, much shorter: every request gets exactly one answer, while the pauses before replacements grow."""
    server = serve("chaos", "--workers", "2")
    dice = random.Random(4)
    with ThreadPoolExecutor(1) as pool:
        traffic = pool.submit(load, server, "chaos", b'{"mode": "sleep", "n": 0.005}', 8_000)
        for _ in range(12):
            eventually(lambda: server.get("/readyz").status == 200, within_s=60)
            with contextlib.suppress(psutil.NoSuchProcess):  # it may die of the blow before
                dice.choice(eventually(server.workers, within_s=60)).kill()
        seen = traffic.result()
    assert sum(seen.values()) == 8_000
    assert set(seen) <= {200, 500}
    assert eventually(lambda: server.predict("chaos", {"mode": "ok"}).status == 200, within_s=60)
