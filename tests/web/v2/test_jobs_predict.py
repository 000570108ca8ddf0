"""Predictions that nobody waits for: Prefer: respond-async."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Reply, Running, eventually, multipart, running
from tests.web.v2.asking import MODEL, PREDICT, Gate, ended, post, show, status

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([MODEL, "--base-path", "/lab"], folder=tmp_path_factory.mktemp("background")) as server:
        yield server


def accepted(reply: Reply) -> str:
    assert reply.status == 202, reply.body
    assert reply.headers["Preference-Applied"] == "respond-async"
    assert reply.headers["Location"] == f"/lab{PREDICT}{reply.json()['uuid']}"
    return str(reply.headers["Location"])


@pytest.mark.parametrize("slash", ["", "/"])
def test_it_is_accepted_at_once_and_answered_later(server: Running, tmp_path: Path, slash: str) -> None:
    gate = Gate(tmp_path / "gate")
    reply = post(server, f"/lab{PREDICT}".rstrip("/") + slash, {"x": 2, "gate": gate.path}, **ASYNC)
    path = accepted(reply)
    assert reply.json()["args"]["x"] == 2
    eventually(lambda: status(server, path) == "running", within_s=30)
    assert server.get(f"{path}/result").status == 404
    gate.open(0)
    result = ended(server, path)["result"]
    answer = {"status": "OK", "predictions": {"y": 4, "read": ""}}
    assert (result["output"], result["content_type"]) == (answer, "application/json")
    reply = server.get(f"{path}/result")
    assert (reply.status, reply.headers["Content-Type"], reply.json()) == (200, "application/json", answer)


def test_its_result_has_the_media_type_that_was_asked_for(server: Running) -> None:
    path = accepted(post(server, f"/lab{PREDICT}", {"x": 2}, Accept="text/csv", **ASYNC))
    assert ended(server, path)["result"]["output"] is None
    reply = server.get(f"{path}/result")
    assert (reply.headers["Content-Type"].partition(";")[0], reply.body) == ("text/csv", b"y\r\n4\r\n")


def test_a_file_that_came_with_it_lives_until_it_has_ended(server: Running, tmp_path: Path) -> None:
    """H21."""
    gate = Gate(tmp_path / "gate")
    form, kind = multipart({"x": "1", "gate": gate.path}, {"data": ("a.txt", b"learn", "text/plain")})
    path = accepted(server.request("POST", f"/lab{PREDICT}", form, {"Content-Type": kind, **ASYNC}))
    eventually(lambda: not server.uploads())
    gate.open(0)
    assert ended(server, path)["result"]["output"]["predictions"]["read"] == "learn"
    eventually(lambda: not [file for file in server.folder.rglob("uploads/*") if file.is_file()])


def test_arguments_that_do_not_fit_are_a_422_at_once(server: Running) -> None:
    before = server.get(f"/lab{PREDICT}").json()
    assert post(server, f"/lab{PREDICT}", {}, **ASYNC).invalid() == {"x": ["Missing data for required field."]}
    assert post(server, f"/lab{PREDICT}", {"x": 1}, Accept="image/png", **ASYNC).status == 406
    assert server.get(f"/lab{PREDICT}").json() == before


def test_others_are_answered_as_ever(server: Running) -> None:
    for headers in ({}, {"Prefer": "wait=5"}):
        reply = post(server, f"/lab{PREDICT}", {"x": 3}, **headers)
        assert (reply.status, reply.json()["predictions"]["y"]) == (200, 6)
        assert "Preference-Applied" not in reply.headers


def test_a_retry_with_the_same_key_is_the_same_job(server: Running) -> None:
    """H20."""
    key = {"Idempotency-Key": "once", **ASYNC}
    paths = {accepted(post(server, f"/lab{PREDICT}", {"x": 5}, **key)) for _ in range(3)}
    assert len(paths) == 1
    assert post(server, f"/lab{PREDICT}", {"x": 6}, **key).status == 409


@pytest.mark.parametrize("key", ["", "x" * 256, "\xe9"], ids=["empty", "long", "no ASCII"])
def test_a_key_that_is_none_is_refused_whatever_the_client_prefers(server: Running, key: str) -> None:
    """H20."""
    for headers in ({}, ASYNC):
        reply = post(server, f"/lab{PREDICT}", {"x": 5}, **headers, **{"Idempotency-Key": key})
        assert (reply.status, reply.json()["code"]) == (400, "bad_request")


def test_it_is_listed_and_can_be_cancelled_as_a_training_can(server: Running, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    first, second = (accepted(post(server, f"/lab{PREDICT}", {"x": 1, "gate": gate.path}, **ASYNC)) for _ in range(2))
    assert server.get(f"/lab{PREDICT}?limit=1").json()[0]["uuid"] in second
    assert server.request("DELETE", second).json()["status"] == "cancelled"
    gate.open(0)
    assert ended(server, first)["status"] == "done"
    assert show(server, second)["status"] == "cancelled"
    assert server.get(f"{first}/log").body == b""
    assert server.get(f"{first}/artifacts").json() == []
