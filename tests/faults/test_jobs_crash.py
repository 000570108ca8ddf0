"""Servers that are killed while they take jobs, and two servers on one data folder."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.faults.conftest import Serve
from tests.faults.trainings import BEGIN_S, TRAIN, ask, becomes, is_begun, kept, shown, train
from tests.models.installed import side_log
from tests.running import Running, are_gone, eventually, multipart, running

# What was running when a server was killed is dealt with within five seconds of the next start.
DEALT_S = 15.0

CLIENTS = 4

UPLOAD = multipart({"mode": "upload", "n": "4000", "text": "first"}, {"file": ("a.txt", b"abc", "text/plain")})


@contextlib.contextmanager
def clients(server: Running, accepted: set[str]) -> Iterator[None]:
    """Ask for trainings from several clients until the server has gone; gather the ids that they were given."""

    def ask_on() -> None:
        with contextlib.suppress(OSError, HTTPException):
            while True:
                accepted.add(train(server, "sleep", n=400))

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask_on) for _ in range(CLIENTS)]
        yield
    assert not [each.exception() for each in asking if each.exception()]


def ask_first(server: Running) -> str:
    """Ask for the training that comes with a file, which is the same however often it is asked for."""
    body, kind = UPLOAD
    reply = server.request("POST", TRAIN, body, {"Content-Type": kind, "Idempotency-Key": "first"})
    assert reply.status == 200, reply.body
    return str(reply.json()["uuid"])


def listed(server: Running) -> set[str]:
    """Return the ids of all trainings, page by page."""
    found, query = set[str](), "limit=1000"
    while query:
        reply = server.get(f"{TRAIN}?{query}")
        found |= {job["uuid"] for job in reply.json()}
        query = reply.headers.get("Link", "").removeprefix("<?").partition(">")[0]
    return found


def halves(data: Path) -> list[str]:
    """Return what is wrong in the database: pages, and jobs to be run without what is to be run."""
    with contextlib.closing(sqlite3.connect(data / "modelserve.db")) as file:
        found = [row[0] for row in file.execute("PRAGMA integrity_check") if row[0] != "ok"]
        query = "SELECT uuid FROM jobs LEFT JOIN requests ON job = jobs.id WHERE status = 'queued' AND request IS NULL"
        return found + [row[0] for row in file.execute(query)]


def reads(log: Path) -> int:
    """Return how many processes have run the training that came with a file."""
    return len({line["pid"] for line in side_log(log, "read")})


def kill_among_requests(server: Running, accepted: set[str]) -> None:
    """Kill a server while clients ask for trainings; wait until nothing of it is left."""
    family, before = server.family(), len(accepted)
    with clients(server, accepted):
        eventually(lambda: len(accepted) > before + 5, within_s=BEGIN_S)
        time.sleep(random.uniform(0, 0.1))
        server.process.kill()
    eventually(lambda: are_gone(family))


def assert_first_runs(server: Running, first: str, log: Path, *, attempt: int) -> None:
    eventually(lambda: reads(log) == attempt, within_s=BEGIN_S)
    assert shown(server, first)["status"] == "running"
    assert [path.parent.name for path in kept(server)] == [first]


def assert_first_is_lost(server: Running, first: str) -> None:
    since_s = time.monotonic()
    becomes(server, first, "lost")
    assert time.monotonic() - since_s < DEALT_S
    eventually(lambda: not kept(server))


@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_a_server_that_is_killed_again_and_again_loses_no_job_that_a_client_was_told_of(
    serve: Serve, tmp_path: Path, rounds: int
) -> None:
    """H01, H03, H20, H21: the first training may be run twice, and is killed twice."""
    log, accepted, first = tmp_path / "side.log", set[str](), ""
    for round in range(rounds):
        server = serve("chaos", "--train-retries", "1", CHAOS_LOG=str(log))
        first = first or ask_first(server)
        assert ask_first(server) == first
        assert accepted <= listed(server)
        assert halves(server.data) == []
        if round < 2:
            assert_first_runs(server, first, log, attempt=round + 1)
        else:
            assert_first_is_lost(server, first)
        kill_among_requests(server, accepted)
    assert reads(log) == 2


def beats(data: Path) -> dict[str, float]:
    """Return when each server was last heard of, as the database has it."""
    with contextlib.closing(sqlite3.connect(data / "modelserve.db")) as file:
        return dict(file.execute("SELECT id, beat FROM owners").fetchall())


def test_two_servers_on_one_data_folder_run_their_own_jobs_and_reap_only_those_of_a_dead_one(
    serve: Serve, packages: dict[str, Path], tmp_path: Path
) -> None:
    """H01, H18: as when one user starts two."""
    log = tmp_path / "side.log"
    one = serve("chaos", CHAOS_LOG=str(log))
    trained, waiting = train(one, "heed", n=400, text="first"), train(one, "heed", n=400, text="second")
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    (own,) = beats(one.data)
    env = {"MODELSERVE_DATA_DIR": str(one.data), "CHAOS_LOG": str(log)}
    with running(["chaos-batch"], folder=tmp_path / "other", visible=[packages["chaos_batch"]], env=env) as other:
        path = "/v2/models/chaos-batch/predict/"
        asleep = ask(other, {"mode": "sleep", "n": 400}, path, {"Prefer": "respond-async"}).json()["uuid"]
        becomes(other, asleep, "running", path=path)
        last_s = beats(one.data)[own]
        eventually(lambda: beats(one.data)[own] > last_s, within_s=30)
        assert [shown(one, uuid)["status"] for uuid in (trained, waiting)] == ["running", "queued"]
        assert shown(other, asleep, path)["status"] == "running"
        # Where nobody has clients everybody is an administrator, who sees the jobs of what is served elsewhere too.
        assert (shown(one, asleep, path)["status"], shown(other, trained)["status"]) == ("running", "running")
        assert (one.data / "jobs" / trained).exists()
        family = other.family()
        other.process.kill()
        eventually(lambda: f"job={asleep}" in one.log and "the job is lost" in one.log, within_s=DEALT_S)
    eventually(lambda: are_gone(family))
    assert [shown(one, uuid)["status"] for uuid in (trained, waiting)] == ["running", "queued"]
    assert [line["text"] for line in side_log(log, "train")] == ["first"]
