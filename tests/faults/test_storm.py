"""Five times the load that a server can carry, from clients that come back when they are told to. Row F07.

By ``tox -e soak`` only; it prints what it has measured, which ``pytest -rP`` shows.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.burst import call_once
from tests.faults.conftest import Serve
from tests.running import Running

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

PATH = "/v2/models/chaos/predict/"
BODY = json.dumps({"mode": "sleep", "n": 0.01}).encode()

# Two workers that sleep for 10 ms answer 200 calls a second at most; as many may wait, a second of work. Retry-After is
# a whole number of seconds: a queue that is done with its work sooner stands idle until they are over.
QUEUE = 200
WORKERS = 2
TIMES = 5

# A client that got its answer has the next call after this time.
THINK_S = 1.0

PEAK_S, STORM_S = 10.0, 30.0

Told = Counter[int]


async def client(port: int, until: float, told: Told, waits: Counter[str]) -> None:
    """Call again and again: a while after an answer, and after a refusal when the server said."""
    while time.monotonic() < until:
        outcome = await call_once(port, PATH, BODY, {})
        told[outcome.status] += time.monotonic() < until
        if outcome.status == 503:
            waits[outcome.headers["Retry-After"]] += 1
        await asyncio.sleep(int(outcome.headers.get("Retry-After", THINK_S)))


def load(server: Running, clients: int, seconds: float) -> tuple[Told, Counter[str]]:
    """Have so many clients begin at one moment; return how often each status came, and each time to wait."""

    async def call() -> tuple[Told, Counter[str]]:
        told, waits, until = Told(), Counter[str](), time.monotonic() + seconds
        await asyncio.gather(*(client(server.port, until, told, waits) for _ in range(clients)))
        return told, waits

    return asyncio.run(call())


def test_clients_that_all_come_back_at_once_get_nearly_as_many_answers_as_ever(serve: Serve) -> None:
    """F07."""
    server = serve("chaos", "--workers", str(WORKERS), "--max-queue", str(QUEUE))
    load(server, QUEUE, 2.0)
    with aftermath(server, workers=WORKERS):
        calm, _ = load(server, QUEUE, PEAK_S)
        stormy, waits = load(server, TIMES * QUEUE, STORM_S)
    peak, goodput = calm[200] / PEAK_S, stormy[200] / STORM_S
    print(f"peak {peak:.0f} a second, of the storm {goodput:.0f}; {dict(stormy)}, Retry-After {dict(waits)}")  # noqa: T201
    assert stormy.keys() == {200, 503}
    assert len(waits) > 1, "they are not all told the same time"
    assert goodput >= 0.8 * peak
