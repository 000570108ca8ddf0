"""What of a job is kept, for how long and for whom, whatever others do and however the server ends."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelserve.access.client import Role
from tests.faults.service import opened
from tests.faults.trainings import ENDED, TRAIN, ask, becomes, train
from tests.running import Running, eventually, running

PREDICT = "/v2/models/chaos/predict/"
pytestmark = pytest.mark.timeout(240)

ASYNC = {"Prefer": "respond-async"}

# Gives a server on the folder of the test, for a block.
Start = Callable[..., contextlib.AbstractContextManager[Running]]


@pytest.fixture
def start(packages: dict[str, Path], tmp_path: Path) -> Start:
    """Yield what gives a server on the folder of the test, for a block."""

    @contextlib.contextmanager
    def started(*arguments: str, **env: str) -> Iterator[Running]:
        with running(["chaos", *arguments], folder=tmp_path, visible=[packages["chaos"]], env=env) as server:
            yield server

    return started


def predict(server: Running) -> str:
    """Run a background prediction to its end and return its id."""
    uuid = str(ask(server, {"mode": "ok"}, PREDICT, ASYNC).json()["uuid"])
    becomes(server, uuid, *ENDED, path=PREDICT)
    return uuid


def set_back(database: Path, by_s: float) -> None:
    """Have all jobs ended so much earlier."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("UPDATE jobs SET finished = finished - ?", (by_s,))


def test_a_training_that_ends_last_outlives_the_short_jobs_that_ended_before_it(start: Start, tmp_path: Path) -> None:
    """Y2: with its artifacts, at the next start and after the least time that any job is kept."""
    few = ("--keep-jobs", "2")
    with start(*few) as server:
        training = train(server, "files", n=1)
        predictions = [predict(server) for _ in range(4)]
        becomes(server, training, "done")
    set_back(tmp_path / "data" / "modelserve.db", 2 * 3600)
    with start(*few) as server:
        eventually(lambda: len(server.get(PREDICT).json()) == 2)
        assert {job["uuid"] for job in server.get(PREDICT).json()} == set(predictions[2:])
        assert [job["uuid"] for job in server.get(TRAIN).json()] == [training]
        assert server.get(f"{TRAIN}{training}/artifacts/file-0.txt").body == b"artifact 0\n"


def test_a_client_does_not_see_the_jobs_of_another_that_had_its_name(packages: dict[str, Path], tmp_path: Path) -> None:
    """Y18: nor is it given one under an Idempotency-Key of that client, and its own stay its own."""
    key = {"Idempotency-Key": "mine"}
    with opened(packages, tmp_path) as service:
        service.add("alice", Role.DEPLOYER)
        service.start()
        first = service.ask("POST", TRAIN, {"mode": "ok"}, name="alice", **key).json()["uuid"]
        assert service.ask("POST", TRAIN, {"mode": "ok"}, name="alice", **key).json()["uuid"] == first
        service.revoke("alice")
        service.add("alice", Role.DEPLOYER)
        assert service.ask("GET", TRAIN, name="alice").json() == []
        for method, below in (("GET", ""), ("GET", "/log"), ("GET", "/result"), ("DELETE", "")):
            assert service.ask(method, f"{TRAIN}{first}{below}", name="alice").status == 404
        second = service.ask("POST", TRAIN, {"mode": "ok"}, name="alice", **key).json()["uuid"]
        assert second != first
        assert [job["uuid"] for job in service.ask("GET", TRAIN, name="alice").json()] == [second]
