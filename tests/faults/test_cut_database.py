"""The connection to PostgreSQL breaks at the worst moments: jobs are neither lost nor run twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Serve
from tests.faults.trainings import BEGIN_S, TRAIN, becomes, is_begun, kept, shown, train
from tests.models.installed import side_log
from tests.postgres import Cluster
from tests.proxy import Proxy, proxied
from tests.running import Running, eventually, multipart

# What was cut is found out with the next heartbeats at the latest.
FOUND_S = 60.0


@pytest.fixture
def proxy(postgres: Cluster) -> Iterator[Proxy]:
    with proxied(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def server(serve: Serve, proxy: Proxy, postgres: Cluster, tmp_path: Path) -> Running:
    """Return a server whose database is behind the proxy."""
    log = str(tmp_path / "side.log")
    url = proxy.address(postgres.database())
    return serve("chaos", MODELSERVE_DATABASE=url, CHAOS_LOG=log, MODELSERVE_TRAIN_CANCEL_S="0.5")


def runs(folder: Path) -> list[str]:
    """Return the texts of the trainings that the model was asked for."""
    return [line["text"] for line in side_log(folder / "side.log", "train")]


def send_file(server: Running, key: str, text: str) -> Any:
    """Ask for a training with a file."""
    form, kind = multipart({"mode": "upload", "text": text}, {"file": ("a.txt", b"abc", "text/plain")})
    return server.request("POST", TRAIN, form, {"Content-Type": kind, "Idempotency-Key": key}, 60)


@pytest.mark.timeout(180)
def test_a_job_whose_commit_was_cut_is_answered_and_runs_with_its_files(
    server: Running, proxy: Proxy, tmp_path: Path
) -> None:
    """Y4: also by its Idempotency-Key."""
    proxy.cut_commits(b"INSERT INTO jobs")
    reply = send_file(server, "k", "cut")
    assert (reply.status, proxy.cuts) == (200, 1), reply.body
    uuid = reply.json()["uuid"]
    assert becomes(server, uuid, "done", "error")["status"] == "done"
    again = send_file(server, "k", "cut")
    assert (again.status, again.json()["uuid"]) == (200, uuid)
    assert runs(tmp_path) == ["cut"]
    eventually(lambda: not kept(server))


@pytest.mark.timeout(180)
def test_a_job_whose_commit_did_not_arrive_is_stored_by_the_next_try(
    server: Running, proxy: Proxy, tmp_path: Path
) -> None:
    """Y4."""
    proxy.cut_commits(b"INSERT INTO jobs", before=True)
    reply = send_file(server, "k", "cut")
    assert (reply.status, proxy.cuts) == (200, 1), reply.body
    assert becomes(server, reply.json()["uuid"], "done", "error")["status"] == "done"
    assert runs(tmp_path) == ["cut"]


@pytest.mark.timeout(180)
def test_a_taking_an_end_and_a_cancelling_whose_commits_were_cut_are_found_out(
    server: Running, proxy: Proxy, tmp_path: Path
) -> None:
    """Y4: a job that was only taken is run once, and has used up no attempt."""
    proxy.cut_commits(b"attempts=(jobs.attempts + ")  # looking for a job, of which there is none, is another commit
    taken = train(server, "ok", text="taken")
    eventually(lambda: shown(server, taken)["status"] == "done", within_s=FOUND_S)
    assert (proxy.cuts, runs(tmp_path)) == (1, ["taken"])
    ended = train(server, "heed", n=2, text="ended")
    eventually(lambda: is_begun(tmp_path / "side.log", "ended"), within_s=BEGIN_S)
    proxy.cut_commits(b"INSERT INTO outputs")
    eventually(lambda: shown(server, ended)["status"] == "done", within_s=FOUND_S)
    assert (proxy.cuts, runs(tmp_path)) == (2, ["taken", "ended"])
    cancelled = train(server, "sleep", n=1000, text="cancelled")
    eventually(lambda: is_begun(tmp_path / "side.log", "cancelled"), within_s=BEGIN_S)
    proxy.cut_commits(b"UPDATE jobs SET status")
    reply = server.request("DELETE", TRAIN + cancelled)
    assert (reply.status, reply.json()["status"], proxy.cuts) == (200, "cancelled", 3)
    eventually(lambda: len(server.workers()) == 1, within_s=BEGIN_S)
    assert "Traceback" not in server.log


@pytest.mark.timeout(180)
def test_a_database_that_falls_silent_is_left_and_found_again(server: Running, proxy: Proxy, tmp_path: Path) -> None:
    """Y3: half-open, no end of the connection is ever seen. What runs goes on, and is neither lost nor doubled."""
    running = train(server, "heed", n=3, text="running")
    eventually(lambda: is_begun(tmp_path / "side.log", "running"), within_s=BEGIN_S)
    proxy.silence()
    eventually(lambda: "the store of jobs is unavailable" in server.log, within_s=FOUND_S)
    assert server.predict("chaos", {"mode": "ok"}).status == 200
    proxy.speak()
    eventually(lambda: shown_or_none(server, running) == "done", within_s=FOUND_S)
    after = train(server, "ok", text="after")
    assert becomes(server, after, "done", "error")["status"] == "done"
    assert runs(tmp_path) == ["running", "after"]
    assert "Traceback" not in server.log


def shown_or_none(server: Running, uuid: str) -> str | None:
    """Return a job's status, None where the store cannot be asked now."""
    reply = server.get(TRAIN + uuid)
    return str(reply.json()["status"]) if reply.status == 200 else None
