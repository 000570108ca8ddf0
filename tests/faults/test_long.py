"""Long runs, by ``tox -e soak`` only: nothing grows and nothing is lost. Rows G12, R01 and R04 of the list of faults.

Each prints what it has measured; ``pytest -rP`` shows it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Serve
from tests.faults.growth import MIB, Size
from tests.running import Running, eventually

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]

CLIENTS = 8
KILLS = 1000
WORKERS = 8
IMPATIENT = 2 * WORKERS  # clients of workers that are killed: some calls run, some wait


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


def test_a_hundred_thousand_predictions_leave_the_server_and_its_workers_as_they_were(serve: Serve) -> None:
    """R01."""
    server = serve("plain", "--workers", "2", visible=("plain",))
    processes = [psutil.Process(server.process.pid)], server.workers()
    load(server, "plain", b'{"x": 1}', 10_000)
    before = [Size.of(group) for group in processes]
    since = time.monotonic()
    assert load(server, "plain", b'{"x": 1}', 100_000) == {200: 100_000}
    after = [Size.of(group) for group in processes]
    print(f"100000 predictions in {time.monotonic() - since:.0f} s: {before} became {after}")  # noqa: T201
    for old, new in zip(before, after, strict=True):
        assert new.rss - old.rss <= 5 * MIB
        assert (new.descriptors, new.threads) == (old.descriptors, old.threads)
    assert len(server.workers()) == 2


class Told:
    """What clients were told: each request has a number, and its answer must be its own."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.failed: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.is_over = threading.Event()

    def ask_on(self, server: Running, client: int) -> int:
        """Call one after the other until it is over; return how many requests were sent."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        number = 0
        with contextlib.closing(connection):
            while not self.is_over.is_set():
                number += 1
                self._ask(connection, f"{client}-{number}")
        return number

    def _ask(self, connection: http.client.HTTPConnection, name: str) -> None:
        body = json.dumps({"mode": "event_loop", "n": 0.01, "text": name})
        connection.request("POST", "/v2/models/chaos/predict/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        self.statuses[response.status] += 1
        if response.status == 200 and answer["predictions"]["text"] != name:
            self.wrong.append(name)
        if response.status != 200:
            self.failed[answer["code"]] += 1


@contextlib.contextmanager
def asked(server: Running) -> Iterator[tuple[Told, list[int]]]:
    """Have clients ask while the block runs; the list has, after it, how many requests each has sent."""
    told, sent = Told(), list[int]()
    with ThreadPoolExecutor(IMPATIENT) as pool:
        clients = [pool.submit(told.ask_on, server, client) for client in range(IMPATIENT)]
        try:
            yield told, sent
        finally:
            told.is_over.set()
        sent += [client.result(60) for client in clients]


def zombies(server: Running) -> set[int]:
    return {one.pid for one in server.family() if is_zombie(one)}


def is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_one(server: Running, dice: random.Random) -> None:
    """Kill one worker, while there are others: a new one or an old one, busy or idle."""
    workers = eventually(lambda: len(found := server.workers()) > WORKERS // 2 and found, within_s=60)
    assert workers
    with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself at this moment
        dice.choice(workers).kill()


def kill_at_random(server: Running) -> None:
    """Kill one worker after the other, and see to it that each is buried."""
    dice = random.Random(4)
    for _ in range(KILLS):
        kill_one(server, dice)
        dead = zombies(server)
        if dead:
            eventually(partial(are_buried, server, dead))
        time.sleep(dice.uniform(0, 0.2))  # not to wait for anything: the blows fall at random moments


def are_buried(server: Running, dead: set[int]) -> bool:
    return not dead & zombies(server)


def test_a_thousand_workers_killed_at_random_cost_only_the_calls_they_ran(serve: Serve, tmp_path: Path) -> None:
    """R04, G12: every request gets exactly one answer, which is its own, and no dead worker stays in the table."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--workers", str(WORKERS), "--restart-budget", "10000", CHAOS_LOG=str(log))
    before, since = Size.of([psutil.Process(server.process.pid)]), time.monotonic()
    with aftermath(server, workers=WORKERS):
        with asked(server) as (told, sent):
            kill_at_random(server)
        lasted = time.monotonic() - since
        print(f"{KILLS} kills, {sum(sent)} requests: {told.statuses}, {told.failed} in {lasted:.0f} s")  # noqa: T201
        print(f"the server was {before} and is {Size.of([psutil.Process(server.process.pid)])}")  # noqa: T201
        eventually(lambda: len(server.workers()) == WORKERS, within_s=60)
    assert sum(told.statuses.values()) == sum(sent)
    assert set(told.failed) <= {"worker_died"}
    assert told.failed["worker_died"] <= KILLS, "one death costs one call at most"
    assert not told.wrong
