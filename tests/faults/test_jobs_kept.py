"""What of a job is kept, for how long and for whom, whatever others do and however the server ends."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelserve.access.client import Role
from modelserve.jobs.job import NewJob, Operation, Status
from modelserve.jobs.store import Store
from tests.faults.service import opened
from tests.faults.told import counted
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


def head_of(path: str, length: int) -> bytes:
    """Return the head of a request whose body is never sent."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


def test_large_jobs_that_wait_take_a_bounded_room_outside_of_the_database(start: Start, tmp_path: Path) -> None:
    """Y8: a further one is refused before its body is sent, and what a job needed goes when it ends."""
    database, large = tmp_path / "data" / "modelserve.db", {"mode": "ok", "text": "x" * 400_000}
    with start("--max-queued-job-bytes", "1000000", "--max-result-bytes", "100000") as server:
        holding = train(server, "heed", n=600)
        becomes(server, holding, "running")
        waiting = [str(ask(server, large).json()["uuid"]) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(head_of(TRAIN, 400_000))
            assert client.recv(100).startswith(b"HTTP/1.1 503")
        assert ask(server, large).json()["code"] == "queue_full"
        assert counted(server, "modelserve_held_limit_bytes", what="jobs") == 1_000_000
        eventually(lambda: counted(server, "modelserve_held_bytes", what="jobs") > 800_000, within_s=30)
        assert sum(path.stat().st_size for path in database.parent.glob("modelserve.db*")) < 600_000
        assert server.request("DELETE", f"{TRAIN}{holding}").status == 200
        assert [becomes(server, uuid, *ENDED)["status"] for uuid in waiting] == ["done"] * 2
        assert server.get(f"{TRAIN}{waiting[0]}/result").json()["text"] == large["text"]
        eventually(lambda: not list(server.data.glob("jobs/*/uploads")))
        uuid = ask(server, {"mode": "big_bytes", "n": 1}, PREDICT, ASYNC).json()["uuid"]
        assert "larger" in becomes(server, uuid, "error", path=PREDICT)["message"]
        assert not (server.data / "jobs" / uuid / "result").exists()


def test_a_database_gives_back_what_it_needs_no_more(tmp_path: Path) -> None:
    """Y8: one that an older version made, too."""
    for is_old in (False, True):
        folder = tmp_path / str(is_old)
        with contextlib.closing(Store.open("", folder)) as store:
            path = folder / "modelserve.db"
            if is_old:
                with contextlib.closing(store.database.engine.raw_connection()) as raw:
                    raw.cursor().execute("PRAGMA auto_vacuum = NONE")
                    raw.cursor().execute("VACUUM")
            new = NewJob("0" * 32, "m", Operation.TRAIN, request=b"x" * (20 << 20))
            store.add(new)
            store.move(new.uuid, Status.CANCELLED)
            store.give_back()
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert path.stat().st_size < 1 << 20
            assert store.get(new.uuid).status is Status.CANCELLED
