"""Jobs of a whole server that go wrong, are cancelled, ask for too much, or are asked for twice."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import MORE_BYTES, aftermath
from tests.faults.conftest import Chaos
from tests.faults.trainings import BEGIN_S, ENDED, TRAIN, ask, becomes, is_begun, processes, shown, train
from tests.models.installed import side_log
from tests.running import Running, are_gone, eventually, running

PREDICT = "/v2/models/chaos/predict/"
ASYNC = {"Prefer": "respond-async"}

# The state of a training that has died follows within two seconds; on a busy machine in three times that.
DEAD_S = 6.0


@pytest.fixture(scope="module")
def school(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """Yield a server with two slots for trainings, for all tests; what must hold after a fault does after them."""
    folder = tmp_path_factory.mktemp("school")
    arguments, log = ["chaos", "--train-workers", "2", "--train-cancel-s", "0.5"], folder / "side.log"
    started = running(arguments, folder=folder, visible=[packages["chaos"]], env={"CHAOS_LOG": str(log)})
    with started as server, aftermath(server, jobs=True):
        yield Chaos(server, log)


@pytest.fixture(autouse=True)
def log(school: Chaos) -> Iterator[Path]:
    """Yield the side log, which begins anew for each test; no training goes on when a test is over."""
    school.side_log.unlink(missing_ok=True)
    yield school.side_log
    for job in school.server.get(TRAIN).json():
        if job["status"] not in ENDED:
            cancel(school.server, job["uuid"])
    eventually(lambda: not trainers(school.server), within_s=BEGIN_S)


def cancel(server: Running, uuid: str, path: str = TRAIN) -> int:
    return server.request("DELETE", f"{path}{uuid}").status


def rss(server: Running) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def trainers(server: Running) -> list[psutil.Process]:
    """Return the processes that train."""
    found = []
    for worker in server.workers():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            found += [worker] if any("-train-" in word for word in worker.cmdline()) else []
    return found


def test_a_cancelled_training_takes_its_family_along_and_one_that_waits_never_begins(school: Chaos, log: Path) -> None:
    """H04, H05."""
    server = school.server
    running_one, heeding = train(server, "children", text="wait"), train(server, "heed", n=400, text="heeding")
    waiting, last = train(server, "ok", text="waiting"), train(server, "ok", text="last")
    eventually(lambda: side_log(log, "children") and is_begun(log, "heeding"), within_s=BEGIN_S)
    family = [*processes(log), *trainers(server)]
    assert len(family) == 6
    assert shown(server, waiting)["status"] == "queued"
    assert [cancel(server, uuid) for uuid in (waiting, running_one, heeding)] == [200] * 3
    assert {shown(server, uuid)["status"] for uuid in (waiting, running_one, heeding)} == {"cancelled"}
    eventually(lambda: are_gone(family), within_s=BEGIN_S)
    becomes(server, last, "done")
    assert not is_begun(log, "waiting")
    assert {shown(server, uuid)["status"] for uuid in (waiting, running_one, heeding)} == {"cancelled"}


def test_a_training_that_dies_is_an_error_that_says_how_and_its_slot_is_free(school: Chaos, log: Path) -> None:
    """H08, H09."""
    server = school.server
    words = {
        "exit3": "exited with status 3",
        "segv": "signal 11 (SIGSEGV)",
        "oom": "raised an exception",
    }
    dying = {mode: train(server, mode) for mode in words}
    killed = train(server, "children", text="wait")
    for mode, uuid in dying.items():
        message = becomes(server, uuid, *ENDED)["message"]
        since_s = next(line["monotonic_s"] for line in side_log(log, "train") if line["mode"] == mode)
        assert time.monotonic() - since_s < DEAD_S
        assert (shown(server, uuid)["status"], words[mode] in message) == ("error", True), message
    eventually(lambda: side_log(log, "children"), within_s=BEGIN_S)
    eventually(lambda: len(trainers(server)) == 1)
    (trainer,), family = trainers(server), processes(log)
    trainer.kill()
    since_s = time.monotonic()
    assert "signal 9 (SIGKILL)" in becomes(server, killed, *ENDED)["message"]
    assert time.monotonic() - since_s < DEAD_S
    eventually(lambda: are_gone(family))


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_large_results_leave_the_server_as_it_was_and_are_in_no_list(school: Chaos, count: int) -> None:
    """H09."""
    server, before = school.server, rss(school.server)
    uuids = [train(server, "big", n=20) for _ in range(count)]
    for uuid in uuids:
        result = becomes(server, uuid, *ENDED)["result"]
        assert (result["output"], result["output_bytes"]) == (None, 20 * 1024**2 + len('{"text":""}'))
    since_s = time.monotonic()
    assert len(server.get(TRAIN).body) < 20_000
    assert time.monotonic() - since_s < 1
    assert len(server.get(f"{TRAIN}{uuids[0]}/result").body) == result["output_bytes"]
    eventually(lambda: rss(server) <= before + MORE_BYTES)


def test_large_arguments_reach_the_model_whole_and_are_in_no_list(school: Chaos) -> None:
    """H10, H20."""
    server, key, size = school.server, {"Idempotency-Key": "large"}, 500_000
    body = {"mode": "ok", "text": "x" * size}
    uuid = ask(server, body, headers=key).json()["uuid"]
    assert ask(server, body, headers=key).json()["uuid"] == uuid
    assert ask(server, {**body, "text": "x" * (size - 1) + "y"}, headers=key).status == 409
    becomes(server, uuid, "done")
    assert server.get(f"{TRAIN}{uuid}/result").json()["text"] == body["text"]
    assert shown(server, uuid)["args"]["text"] == "x" * 100 + f"... ({size + 2} bytes)"
    assert len(server.get(TRAIN).body) < 20_000


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_of_two_cancels_and_the_end_exactly_one_wins(school: Chaos, rounds: int) -> None:
    """H07: with background predictions, whose end comes sooner."""
    server = school.server
    for _ in range(rounds):
        uuid = ask(server, {"mode": "sleep", "n": 0.02}, PREDICT, ASYNC).json()["uuid"]
        time.sleep(random.uniform(0, 0.06))
        with ThreadPoolExecutor(2) as pool:
            statuses = sorted(pool.map(lambda _, uuid=uuid: cancel(server, uuid, PREDICT), range(2)))
        assert statuses in ([200, 409], [409, 409])
        ended = shown(server, uuid, PREDICT)
        assert ended["status"] == ("cancelled" if 200 in statuses else "done")
        assert ("result" in ended) == (ended["status"] == "done")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_of_a_cancel_and_the_end_of_a_training_exactly_one_wins(school: Chaos) -> None:
    """H07."""
    server = school.server
    for _ in range(200):
        uuid = train(server, "ok")
        time.sleep(random.uniform(0.2, 1.2))
        status = cancel(server, uuid)
        ended = shown(server, uuid)["status"]
        assert (status, ended) in {(200, "cancelled"), (409, "done")}
        eventually(lambda: not trainers(server), within_s=BEGIN_S)
        assert shown(server, uuid)["status"] == ended


def test_a_request_that_is_repeated_because_its_answer_was_lost_is_one_training(school: Chaos, log: Path) -> None:
    """H20."""
    server, body = school.server, json.dumps({"mode": "ok", "text": "once"})
    head = f"POST {TRAIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: once\r\n"
    for pause_s in (0, 0.005, 0.02):  # before, while and after it is stored
        with socket.create_connection(("127.0.0.1", server.port), 20) as client:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            time.sleep(pause_s)
    with ThreadPoolExecutor(10) as pool:
        key = {"Idempotency-Key": "once"}
        replies = list(pool.map(lambda _: ask(server, json.loads(body), headers=key), range(10)))
    (uuid,) = {reply.json()["uuid"] for reply in replies}
    becomes(server, uuid, "done")
    assert [line["text"] for line in side_log(log, "train")] == ["once"]
    assert [job["args"]["text"] for job in server.get(TRAIN).json()].count("once") == 1


def test_a_training_that_prints_without_end_fills_no_memory(school: Chaos) -> None:
    server, before, megabytes = school.server, rss(school.server), 100
    uuid = train(server, "flood", n=megabytes)
    followed = f"GET {TRAIN}{uuid}/log?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        client.sendall(followed.encode())  # and nothing is ever read
        becomes(server, uuid, "done")
        assert rss(server) <= before + MORE_BYTES
    assert (server.data / "jobs" / uuid / "log").stat().st_size >= megabytes * 1024**2
    assert server.get(f"{TRAIN}{uuid}/log?tail=2").body.count(b"\n") == 2
    assert rss(server) <= before + MORE_BYTES


def test_a_reload_leaves_a_training_alone(school: Chaos, log: Path) -> None:
    """G07."""
    server = school.server
    uuid = train(server, "heed", n=400)
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    trainer = trainers(server)
    old = set(server.workers()) - set(trainer)
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(server.workers()) == 2 and not old & set(server.workers()), within_s=BEGIN_S)
    assert server.predict("chaos", {"mode": "ok"}).status == 200
    assert (shown(server, uuid)["status"], trainers(server)) == ("running", trainer)
    assert cancel(server, uuid) == 200
    eventually(lambda: are_gone(trainer), within_s=BEGIN_S)
    assert side_log(log, "trained"), "it has heeded that it is cancelled"
