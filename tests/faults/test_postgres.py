"""Whole servers on a PostgreSQL: one that loses it, one that never finds it, and several that share it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Serve
from tests.faults.trainings import BEGIN_S, TRAIN, ask, becomes, is_begun, shown, train
from tests.models.installed import side_log
from tests.postgres import SECRET, Cluster
from tests.running import Running, eventually

# Normal within 5 s of the database's return; a busy machine gets three times that.
BACK_S = 15.0


@pytest.fixture(scope="module")
def url(postgres: Cluster) -> str:
    """Return the address of a database for the servers of this file, one after the other."""
    return postgres.database()


def modelserve(*arguments: str, **env: str) -> str:
    """Return all that a command prints."""
    command = [sys.executable, "-m", "modelserve", *arguments]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True).stdout


def times_run(log: Path) -> list[str]:
    """Return the texts of the trainings that the model was asked for, in order."""
    return sorted(line["text"] for line in side_log(log, "train"))


def takes_jobs(server: Running) -> bool:
    """Tell whether a training is accepted."""
    return ask(server, {"mode": "ok", "text": "after"}).status == 200


@pytest.mark.timeout(180)
def test_a_database_that_is_cut_off_and_restarted_ends_no_training_and_none_is_run_twice(
    serve: Serve, postgres: Cluster, url: str, tmp_path: Path
) -> None:
    """H16: and no password is shown anywhere."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--database", url, "--log-level", "debug", CHAOS_LOG=str(log))
    with aftermath(server, jobs=True):
        running, queued = train(server, "sleep", n=3, text="running"), train(server, "ok", text="queued")
        eventually(lambda: is_begun(log), within_s=BEGIN_S)
        assert postgres.terminate_connections()
        assert shown(server, running)["status"] == "running"
        postgres.crash()
        try:
            refused = ask(server, {"mode": "ok", "text": "refused"})
            assert (refused.status, refused.json()["code"]) == (503, "store_unavailable")
            assert refused.headers["Retry-After"]
            assert SECRET not in refused.body.decode()
            assert server.predict("chaos", {"mode": "ok"}).status == 200
            eventually(lambda: side_log(log, "trained"), within_s=BEGIN_S)
        finally:
            postgres.start()
        eventually(lambda: takes_jobs(server), within_s=BACK_S)
        eventually(lambda: shown(server, running)["status"] == "done", within_s=BACK_S)
        becomes(server, queued, "done")
        eventually(lambda: times_run(log) == ["after", "queued", "running"], within_s=BEGIN_S)
        eventually(lambda: {job["status"] for job in server.get(TRAIN).json()} == {"done"}, within_s=BEGIN_S)
    status = ("status", "--port", str(server.port))
    shows = [modelserve(*status, *more, TMPDIR=str(server.temp)) for more in ([], ["--json"])]
    shows += [modelserve("run", "--help", MODELSERVE_DATABASE=url), server.log, server.stdout]
    shows += [server.get(path).body.decode() for path in ("/metrics", "/swagger.json", TRAIN, "/")]
    assert all(shows)
    assert not [text for text in shows if SECRET in text]
    assert server.log.count("the store of jobs is unavailable") == 1


@pytest.mark.timeout(180)
def test_a_stop_does_not_wait_for_a_database_that_says_nothing(serve: Serve, postgres: Cluster, tmp_path: Path) -> None:
    """X9: it has six seconds more to write down what ran; each statement would have half a minute."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--grace-s", "1", MODELSERVE_DATABASE=postgres.database(), CHAOS_LOG=str(log))
    train(server, "sleep", n=1000)
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    with postgres.silent():
        begin = time.monotonic()
        assert server.terminate(within_s=60) == 0
        assert time.monotonic() - begin < 1 + 6 + 10
    assert "how a job ended could not be written down" in server.log


@pytest.mark.timeout(180)
def test_a_database_that_does_not_answer_refuses_the_start_after_a_while(serve: Serve) -> None:
    """H17."""
    url = f"postgresql+psycopg://someone:{SECRET}@127.0.0.1:1/jobs"
    begin = time.monotonic()
    server = serve("chaos", wait=False, MODELSERVE_DATABASE=url)
    assert server.process.wait(60) == 5
    assert time.monotonic() - begin < 45
    assert "someone:***@127.0.0.1:1/jobs" in server.log
    assert "Connection refused" in server.log
    assert "--database" in server.log
    assert SECRET not in server.log


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_however_often_the_database_goes_each_training_is_run_once(
    serve: Serve, postgres: Cluster, url: str, tmp_path: Path
) -> None:
    """H16: 60 rounds; what was accepted is run once, and what was not at most once."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--train-workers", "2", MODELSERVE_DATABASE=url, CHAOS_LOG=str(log))
    accepted: dict[str, str] = {}
    for number in range(60):
        began = len(times_run(log))
        accepted |= submitted(server, f"{number}-before", 3)
        eventually(lambda: len(times_run(log)) > began, within_s=BEGIN_S)  # noqa: B023
        if number % 2:
            postgres.terminate_connections()
        else:
            postgres.crash()
        accepted |= submitted(server, f"{number}-while", 2)
        if not number % 2:
            postgres.start()
            begin = time.monotonic()
            eventually(lambda: takes_jobs(server), within_s=BACK_S)
            assert time.monotonic() - begin < BACK_S
        assert server.predict("chaos", {"mode": "ok"}).status == 200
    for uuid in accepted:
        assert becomes(server, uuid, "done", "error", "lost")["status"] == "done"
    runs = [text for text in times_run(log) if text != "after"]
    assert len(accepted) >= 60 * 3
    assert len(set(runs)) == len(runs)
    assert set(accepted.values()) <= set(runs)


def submitted(server: Running, text: str, count: int) -> dict[str, str]:
    """Ask for so many short trainings, and return the texts of those that are accepted by their id."""
    found = {}
    for number in range(count):
        name = f"{text}-{number}"
        reply = ask(server, {"mode": "ok", "text": name})
        if reply.status == 200:
            found[json.loads(reply.body)["uuid"]] = name
    return found
