"""Trainings of a whole server that is stopped, killed and started again."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Serve
from tests.faults.mounted import MAY_MOUNT, mounted
from tests.faults.trainings import BEGIN_S, TRAIN, becomes, is_begun, shown, train
from tests.models.installed import side_log
from tests.running import Running, are_gone, eventually, multipart


def test_after_a_kill_the_running_one_is_lost_the_queued_one_runs_and_what_was_done_is_there(
    serve: Serve, tmp_path: Path
) -> None:
    """H01, H02, H21."""
    log = tmp_path / "side.log"
    # Not confined: two that are confined apart may not look at each other's processes.
    server = serve("chaos", confine=False, CHAOS_LOG=str(log))
    done = becomes(server, train(server, "ok", n=1), "done")
    log.unlink()
    running = train(server, "children", text="wait")
    eventually(lambda: side_log(log, "children"), within_s=BEGIN_S)
    body, kind = multipart({"mode": "upload", "n": "2"}, {"file": ("a.txt", b"abc", "text/plain")})
    queued = server.request("POST", TRAIN, body, {"Content-Type": kind}).json()["uuid"]
    before, family = shown(server, running), server.family()
    family += [psutil.Process(pid) for line in side_log(log, "children") for pid in line["pids"]]
    server.process.kill()
    again = serve("chaos", confine=False, CHAOS_LOG=str(log))
    eventually(lambda: are_gone(family[1:]))
    lost = becomes(again, running, "lost")
    assert lost == {**lost, "uuid": before["uuid"], "args": before["args"], "date": before["date"]}
    assert becomes(again, queued, "done")["result"]["output"]["sizes"] == [3, 3]
    eventually(lambda: not (again.data / "jobs" / queued / "uploads").exists())
    assert shown(again, done["uuid"]) == done


@pytest.mark.parametrize("retries", [0, 1])
def test_when_the_server_is_told_to_stop_its_training_is_recorded_and_one_that_waits_is_kept(
    serve: Serve, tmp_path: Path, retries: int
) -> None:
    """G04."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--train-retries", str(retries), CHAOS_LOG=str(log))
    uuid, waiting = train(server, "heed", n=400, text="first"), train(server, "heed", n=400, text="second")
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    family = server.family()
    assert server.terminate(within_s=40) == 0
    assert are_gone(family[1:])
    assert not is_begun(log, "second")
    log.unlink()
    again = serve("chaos", CHAOS_LOG=str(log))
    if retries:
        eventually(lambda: is_begun(log, "first"), within_s=BEGIN_S)
        assert [shown(again, each)["status"] for each in (uuid, waiting)] == ["running", "queued"]
    else:
        assert shown(again, uuid) == {**shown(again, uuid), "status": "lost", "message": "The server was stopped."}
        eventually(lambda: is_begun(log, "second"), within_s=BEGIN_S)


def test_a_second_signal_ends_a_training_that_does_not_heed_the_first(serve: Serve, tmp_path: Path) -> None:
    """G04."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--train-cancel-s", "300", "--grace-s", "300", CHAOS_LOG=str(log))
    uuid = train(server, "sleep", n=400)
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    server.process.terminate()
    eventually(lambda: "stopping" in server.log)
    assert server.terminate(within_s=30) == 0
    assert shown(serve("chaos"), uuid)["status"] == "lost"


def test_no_more_trainings_wait_than_may_and_the_files_of_those_refused_are_gone(serve: Serve, tmp_path: Path) -> None:
    """So that no client fills the disk; what was accepted is kept."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--max-queued-jobs", "2", "--train-cancel-s", "0", CHAOS_LOG=str(log))
    running = train(server, "sleep", n=400)
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    waiting = [train(server, "ok") for _ in range(2)]
    form, kind = multipart({"mode": "upload"}, {"file": ("a.txt", b"abc", "text/plain")})
    kept = sorted((server.data / "jobs").iterdir())
    refused = server.request("POST", TRAIN, form, {"Content-Type": kind})
    assert (refused.status, refused.json()["code"], "Retry-After" in refused.headers) == (503, "queue_full", True)
    assert sorted((server.data / "jobs").iterdir()) == kept
    assert server.request("DELETE", f"{TRAIN}{waiting[0]}").status == 200
    train(server, "ok")
    assert server.request("DELETE", f"{TRAIN}{running}").status == 200
    becomes(server, waiting[1], "done")


def usual_s(server: Running) -> float:
    """Return how long a prediction takes, by the middle one of many."""

    def one() -> float:
        since_s = time.monotonic()
        assert server.predict("chaos", {"mode": "ok"}).status == 200
        return time.monotonic() - since_s

    return statistics.median(one() for _ in range(100))


def test_predictions_take_no_longer_while_as_many_trainings_run_as_there_may_be(serve: Serve, tmp_path: Path) -> None:
    """F04: none waits for a training, each of which would take a whole processor."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--train-workers", "4", "--train-cancel-s", "0", CHAOS_LOG=str(log))
    alone_s = usual_s(server)
    uuids = [train(server, "spin", n=400) for _ in range(4)]
    eventually(lambda: len(side_log(log, "train")) == 4, within_s=BEGIN_S)
    assert [shown(server, uuid)["status"] for uuid in uuids] == ["running"] * 4
    assert len(server.workers()) == 5
    beside_s = usual_s(server)
    print(f"a prediction takes {alone_s * 1000:.1f} ms, beside four trainings {beside_s * 1000:.1f} ms")  # noqa: T201
    assert beside_s < 3 * alone_s + 0.03
    for uuid in uuids:
        assert server.request("DELETE", f"{TRAIN}{uuid}").status == 200
    eventually(lambda: len(server.workers()) == 1)


@pytest.mark.skipif(not MAY_MOUNT, reason="this system lets no user mount a file system of its own")
def test_while_the_disk_is_full_a_training_goes_on_and_its_end_is_written_later(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    """H12."""
    log = tmp_path / "side.log"
    arguments = ["chaos", "--data-dir", str(tmp_path / "small" / "tmp" / "data")]
    visible, env = [packages["chaos"]], {"CHAOS_LOG": str(log)}
    with mounted(arguments, folder=tmp_path / "small", visible=visible, size="2m", env=env) as server:
        uuid = train(server, "sleep", n=2)
        eventually(lambda: is_begun(log), within_s=BEGIN_S)
        filler = server.fill()
        body, kind = json.dumps({"text": "x" * 50_000}).encode(), {"Content-Type": "application/json"}
        refused = server.request("POST", TRAIN, body, kind)
        assert (refused.status, refused.json()["code"]) == (503, "no_space")
        assert server.predict("chaos", {"mode": "ok"}).status == 200
        eventually(lambda: side_log(log, "trained"), within_s=BEGIN_S)
        filler.unlink()
        assert becomes(server, uuid, "done")["result"]["output"] == {"slept_s": 2}


def test_a_folder_of_jobs_that_cannot_be_made_is_told_at_once_and_needed_for_trainings_only(
    serve: Serve, tmp_path: Path
) -> None:
    """H14."""
    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "jobs")
    server = serve("chaos", "--data-dir", below, wait=False)
    assert server.process.wait(30) == 5
    assert below in server.log
    assert "--data-dir" in server.log
    without = serve("chaos", "--data-dir", below, "--no-train")
    assert without.predict("chaos", {"mode": "ok"}).status == 200
    assert without.get(TRAIN).status == 404
