"""Trainings as a client meets them: accepted, listed, shown, cancelled, and refused."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.running import Reply, Running, eventually, multipart, running
from tests.web import telling
from tests.web.receiver import SECRET
from tests.web.v2.asking import MODEL, PREDICT, TRAIN, Gate, ended, post, show, status, train

NEXT = re.compile(r'<\?(.+)>; rel="next"')
DATE = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    models = [MODEL, f"{telling.__file__}:Telling", "--callback-hosts", "hooks.example.org"]
    folder, env = tmp_path_factory.mktemp("jobs"), {"MODELSERVE_CALLBACK_SECRET": SECRET}
    with running([*models, "--train-workers", "2"], folder=folder, env=env) as server:
        yield server


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Yield a gate, and open it at last, so that a test that failed holds up no other."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open(*range(10))


def kept_files(server: Running) -> list[Path]:
    """Return the files that came with requests and are still there."""
    return [path for path in server.folder.rglob("uploads/*") if path.is_file()]


def listed(server: Running, path: str = TRAIN) -> list[str]:
    return [job["uuid"] for job in server.get(path).json()]


def test_a_training_is_answered_at_once_and_shown_until_it_is_done(server: Running, gate: Gate) -> None:
    reply = post(server, TRAIN, {"epochs": 2, "gate": gate.path})
    job = reply.json()
    assert (reply.status, job["status"], "result" in job) == (200, "queued", False)
    assert re.fullmatch("[0-9a-f]{32}", job["uuid"])
    assert re.fullmatch(DATE, job["date"])
    assert job["args"] == {"epochs": 2, "gate": gate.path, "mode": "", "data": None}

    path = TRAIN + job["uuid"]
    gate.open(0, 1)
    eventually(lambda: show(server, path).get("metrics") == {"loss": 0.5}, within_s=60)
    running_now = show(server, path)
    assert (running_now["status"], running_now["progress"], "result" in running_now) == ("running", 0.5, False)
    gate.open(2)
    done = ended(server, path)
    assert (done["status"], done["uuid"], done["date"], done["args"]) == ("done", job["uuid"], job["date"], job["args"])
    assert done["result"]["output"] == {"epochs": 2, "read": "", "more": ""}
    assert re.fullmatch(DATE, done["result"]["finish_date"])
    assert re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", done["result"]["duration"])


def test_arguments_may_stand_wherever_those_of_predict_may(server: Running, gate: Gate) -> None:
    form, kind = multipart({"epochs": "0"}, {"data": ("../a b.txt", b"learn", "text/plain")})
    reply = server.request("POST", f"{TRAIN}?gate={gate.path}", form, {"Content-Type": kind})
    assert (reply.status, reply.json()["args"]["data"]) == (200, "a b.txt")
    assert len(kept_files(server)) == 1
    gate.open(0)
    assert ended(server, TRAIN + reply.json()["uuid"])["result"]["output"]["read"] == "learn"
    eventually(lambda: not kept_files(server))
    eventually(lambda: not server.uploads())


def test_a_training_is_accepted_while_the_only_worker_is_busy(server: Running, gate: Gate) -> None:
    """F04: a client that trains waits for no prediction either."""
    busy = server.predict_soon("apprentice", {"x": 1, "gate": gate.path})
    eventually(lambda: 'queue_calls{deployment="apprentice"} 0.0' in server.get("/metrics").body.decode())
    for _ in range(3):
        assert server.request("POST", f"{TRAIN}?epochs=0", timeout_s=20).status == 200
    assert post(server, TRAIN, {}).status == 422
    assert not busy.done()
    gate.open(0)
    assert busy.result().json()["predictions"]["y"] == 2


def test_arguments_that_do_not_fit_make_no_job(server: Running) -> None:
    before = listed(server)
    form, kind = multipart({"epochs": "-1"}, {"data": ("a.txt", b"learn", "text/plain")})
    assert post(server, TRAIN, {}).invalid() == {"epochs": ["Missing data for required field."]}
    assert post(server, TRAIN, {"epochs": 1, "nosuch": 1}).status == 422
    assert server.request("POST", TRAIN, form, {"Content-Type": kind}).status == 422
    assert post(server, TRAIN, b"{").json()["code"] == "bad_request"
    assert post(server, TRAIN, b"{}", **{"Content-Encoding": "gzip"}).status == 415
    assert listed(server) == before
    assert kept_files(server) == []
    eventually(lambda: not server.uploads())


def test_a_training_that_fails_says_so_without_the_models_words(server: Running) -> None:
    job = ended(server, train(server, {"epochs": 0, "mode": "fail"}))
    assert job["status"] == "error"
    assert job["message"]
    assert "secret" not in job["message"]
    assert "result" not in job


def test_a_training_that_runs_is_cancelled_and_its_record_stays(server: Running, gate: Gate) -> None:
    """H04."""
    path = train(server, {"epochs": 1, "gate": gate.path})
    eventually(lambda: status(server, path) == "running", within_s=60)
    reply = server.request("DELETE", path)
    assert (reply.status, reply.json()["status"]) == (200, "cancelled")
    assert status(server, path) == "cancelled"
    again = server.request("DELETE", path)
    assert (again.status, again.json()["code"]) == (409, "conflict")
    assert "result" not in show(server, path)


def test_a_training_that_waits_is_cancelled_before_it_has_begun(server: Running, gate: Gate) -> None:
    """H05."""
    before = [train(server, {"epochs": 1, "gate": gate.path}) for _ in range(2)]
    last = train(server, {"epochs": 1, "gate": gate.path})
    eventually(lambda: [status(server, path) for path in before] == ["running"] * 2, within_s=60)
    assert status(server, last) == "queued"
    assert server.request("DELETE", last).json()["status"] == "cancelled"
    gate.open(0, 1)
    assert [ended(server, path)["status"] for path in before] == ["done"] * 2
    assert (status(server, last), server.get(f"{last}/log").body) == ("cancelled", b"")


def test_a_training_that_is_done_cannot_be_cancelled_and_keeps_its_result(server: Running) -> None:
    """H06."""
    path = train(server, {"epochs": 0})
    before = ended(server, path)
    reply = server.request("DELETE", path)
    assert (reply.status, reply.json()["code"]) == (409, "conflict")
    assert show(server, path) == before


def test_a_retry_with_the_same_key_is_the_same_training(server: Running) -> None:
    """H20."""
    form, kind = multipart({"epochs": "0"}, {"data": ("a.txt", b"learn", "text/plain")})
    headers = {"Content-Type": kind, "Idempotency-Key": "one of a kind"}

    def ask(_: int) -> Reply:
        return server.request("POST", TRAIN, form, headers)

    with ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(ask, range(10)))
    assert {reply.status for reply in replies} == {200}
    (uuid,) = {reply.json()["uuid"] for reply in replies}
    assert listed(server).count(uuid) == 1
    assert ended(server, TRAIN + uuid)["result"]["output"]["read"] == "learn"
    assert ask(0).json()["status"] == "done"
    eventually(lambda: not kept_files(server))


def test_a_key_that_comes_with_another_request_is_a_conflict(server: Running) -> None:
    """H20."""
    key = {"Idempotency-Key": "mine"}
    first = train(server, {"epochs": 0}, **key)
    assert post(server, TRAIN, {"epochs": 1}, **key).json()["code"] == "conflict"
    for content in (b"one", b"two"):
        form, kind = multipart({"epochs": "0"}, {"data": ("a.txt", content, "text/plain")})
        headers = {"Content-Type": kind, "Idempotency-Key": "yours"}
        reply = server.request("POST", TRAIN, form, headers)
        assert reply.status == (200 if content == b"one" else 409), reply.body
    assert train(server, {"epochs": 0}, **key) == first
    assert post(server, TRAIN, {"epochs": 0, "mode": ""}, **key).status == 409, (
        "a default that is sent is more than none"
    )
    assert post(server, TRAIN, {"epochs": 0}, **{"Idempotency-Key": "x" * 256}).status == 400
    eventually(lambda: not kept_files(server), within_s=60)


def test_trainings_are_listed_page_by_page_newest_first(server: Running) -> None:
    """H10."""
    made = [train(server, {"epochs": 0}).removeprefix(TRAIN) for _ in range(5)]
    assert listed(server)[:5] == made[::-1]
    found, query = list[str](), "limit=2"
    while query:
        reply = server.get(f"{TRAIN}?{query}")
        assert len(reply.json()) <= 2
        assert all("result" not in job for job in reply.json())
        found += [job["uuid"] for job in reply.json()]
        link = NEXT.fullmatch(reply.headers.get("Link", ""))
        query = link[1] if link else ""
    assert found == listed(server, f"{TRAIN}?limit=1000")
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=ten", "limit=", "limit=-1", "cursor=nothing"])
def test_a_page_that_cannot_be_is_a_400(server: Running, query: str) -> None:
    reply = server.get(f"{TRAIN}?{query}")
    assert (reply.status, reply.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "uuid",
    [
        "0" * 31,
        "0" * 33,
        "A" * 32,
        "nothing",
        "..%2f..%2fetc",
        "%00" + "0" * 31,
        "x" * 10_000,
        "é" * 32,
        "0" * 31 + "%0a",
    ],
)
@pytest.mark.parametrize("more", ["", "/log", "/artifacts/x"])
def test_what_is_no_id_is_not_there(server: Running, uuid: str, more: str) -> None:
    """M05."""
    head = f"GET {TRAIN}{uuid}{more} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).split()[1] in (b"404", b"400")


@pytest.mark.parametrize("more", ["", "/log", "/events", "/metrics", "/artifacts", "/artifacts/x", "/result"])
def test_a_job_is_only_there_under_its_own_model_and_operation(server: Running, more: str) -> None:
    uuid = train(server, {"epochs": 0}).removeprefix(TRAIN)
    elsewhere = [f"/v2/models/telling/train/{uuid}", PREDICT + uuid, TRAIN + "0" * 32, f"/v2/models/none/train/{uuid}"]
    for path in elsewhere:
        reply = server.get(path + more)
        assert (reply.status, reply.json()["code"]) == (404, "not_found"), path
        assert server.request("DELETE", path).status == 404


def test_a_model_without_train_says_so_and_has_no_link_to_it(server: Running) -> None:
    reply = post(server, "/v2/models/telling/train/", {})
    assert (reply.status, reply.json()["code"]) == (501, "not_implemented")
    assert server.get("/v2/models/telling/train/").json() == []
    assert post(server, "/v2/models/none/train/", {}).status == 404
    links = {
        model["name"]: [link["rel"] for link in model["links"]] for model in server.get("/v2/models/").json()["models"]
    }
    assert "train" in links["Apprentice"]
    assert "train" not in links["Telling"]


def test_a_callback_is_taken_off_the_query_and_checked(server: Running) -> None:
    accepted = post(server, f"{TRAIN}?callback_url=https%3A%2F%2Fhooks.example.org%2Fdone&epochs=0", {})
    assert (accepted.status, "callback_url" in accepted.json()["args"]) == (200, False)
    refused = post(server, f"{TRAIN}?callback_url=http%3A%2F%2Flocalhost%2F", {"epochs": 0})
    assert list(refused.invalid()) == ["callback_url"]


def test_an_upload_is_refused_unsent_where_it_is_too_large(tmp_path: Path) -> None:
    head = f"POST {TRAIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with running([MODEL, "--max-upload-bytes", "1000"], folder=tmp_path) as server:
        for length, first in ((1001, b"413"), (1000, b"100")):
            with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
                connection.sendall(f"{head}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n".encode())
                assert connection.recv(100).split()[1] == first


def test_a_job_that_fills_the_room_is_answered_when_its_request_is_repeated(tmp_path: Path, gate: Gate) -> None:
    """Y8: and what will never fit is not told to come again."""
    large = {"epochs": 1, "gate": gate.path + "/" * 500}
    with running([MODEL, "--max-queued-job-bytes", "1000"], folder=tmp_path) as server:
        first, again = (post(server, TRAIN, large, **{"Idempotency-Key": "mine"}) for _ in range(2))
        assert (first.status, again.status, post(server, TRAIN, large).status) == (200, 200, 503)
        assert first.json()["uuid"] == again.json()["uuid"]
        never = post(server, TRAIN, {"epochs": 1, "gate": "/" * 1000})
        assert (never.status, never.json()["code"]) == (413, "too_large")


def test_trainings_that_are_switched_off_are_not_there(tmp_path: Path) -> None:
    with running([MODEL, "--no-train"], folder=tmp_path) as server:
        for path in (TRAIN, TRAIN + "0" * 32, PREDICT + "0" * 32):
            assert server.get(path).status == 404
        assert post(server, TRAIN, {"epochs": 0}).status == 404
        assert post(server, PREDICT, {"x": 2}, Prefer="respond-async").json()["predictions"]["y"] == 4
        assert not [path for path in server.get("/openapi.json").json()["paths"] if "train" in path]
        assert "train" not in str(server.get("/v2/models/apprentice/").json()["links"])
        assert {path.name for path in (tmp_path / "data").iterdir()} == {"cache", "logs"}, "no database"


def test_trainings_may_be_switched_off_for_one_model_alone(tmp_path: Path) -> None:
    (tmp_path / "modelserve.toml").write_text(f'[deployments.idle]\nmodel = "{MODEL}"\ntrain = false\n')
    with running([], folder=tmp_path) as server:
        assert post(server, "/v2/models/idle/train/", {"epochs": 0}).status == 404
        assert server.get("/v2/models/idle/train/").status == 404
