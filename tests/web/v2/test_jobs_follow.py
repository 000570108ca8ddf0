"""A training that is watched: its log, its events and its metrics, over connections that stay, and that leave."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.raw import HEAD_END, read_all, read_until
from tests.running import Running, eventually, running
from tests.web.v2.asking import MODEL, TRAIN, Gate, ended, events, show, status, train


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([MODEL], folder=tmp_path_factory.mktemp("follow")) as server:
        yield server


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Yield a gate, and open it at last, so that a test that failed holds up no other."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open(*range(10))


@pytest.fixture(scope="module")
def done(server: Running) -> str:
    """Return the path of a training of three steps that is done."""
    path = train(server, {"epochs": 3})
    assert ended(server, path)["status"] == "done"
    return path


LINES = "".join(f"epoch {epoch} of 3\n" for epoch in range(3))


def test_a_log_is_a_download_of_all_that_was_printed(server: Running, done: str) -> None:
    reply = server.get(f"{done}/log")
    uuid = done.removeprefix(TRAIN)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    names = f"filename=\"{uuid}.log\"; filename*=UTF-8''{uuid}.log"
    assert reply.headers["Content-Disposition"] == f"attachment; {names}"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert LINES in reply.body.decode()
    head = server.request("HEAD", f"{done}/log")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(reply.body)))


def test_whoever_asks_for_the_head_of_a_log_that_is_followed_gets_no_more(server: Running, done: str) -> None:
    """E10: of the kind. Events came, and the next request's answer stood behind them."""
    ask = f"{{}} {done}/log{{}} HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(
            f"{ask.format('HEAD', '?follow=1')}\r\n{ask.format('GET', '')}Connection: close\r\n\r\n".encode()
        )
        first, _, behind = read_all(client).partition(HEAD_END)
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert behind.startswith(b"HTTP/1.1 200 OK")


def test_the_end_of_a_log_is_its_last_lines(server: Running, done: str) -> None:
    whole = server.get(f"{done}/log").body.decode().splitlines(keepends=True)
    for count in (0, 1, 2, 100_000):
        reply = server.get(f"{done}/log?tail={count}")
        assert reply.body.decode() == "".join(whole[-count:] if count else [])
        assert "Content-Disposition" not in reply.headers


@pytest.mark.parametrize("query", ["tail=-1", "tail=100001", "tail=all", "tail=", "follow=maybe"])
def test_a_log_that_cannot_be_is_a_400(server: Running, done: str, query: str) -> None:
    reply = server.get(f"{done}/log?{query}")
    assert (reply.status, reply.json()["code"]) == (400, "bad_request")


def test_a_log_is_followed_line_by_line_until_the_job_has_ended(server: Running, gate: Gate) -> None:
    path = train(server, {"epochs": 2, "gate": gate.path})
    with events(server, f"{path}/log?follow=1") as told:
        gate.open(0)
        assert next(told)[::2] == ("log", "epoch 0 of 2")
        gate.open(1)
        name, last_id, line = next(told)
        assert (name, line) == ("log", "epoch 1 of 2")
    gate.open(2)
    with events(server, f"{path}/log?follow=1", {"Last-Event-ID": last_id}) as told:  # as a browser comes back
        *rest, last = told
    assert "epoch" not in "".join(data for _, _, data in rest)
    assert (last[0], json.loads(last[2])["status"]) == ("status", "done")
    with events(server, f"{path}/log?follow=1&tail=1") as told:
        *rest, _ = told
    assert [data for _, _, data in rest] == server.get(f"{path}/log?tail=1").body.decode().splitlines()


def test_events_tell_each_change_until_the_job_has_ended(server: Running, gate: Gate) -> None:
    path = train(server, {"epochs": 2, "gate": gate.path})
    seen = dict[str, list[object]]()
    with events(server, f"{path}/events") as told:
        for name, _, data in told:
            seen.setdefault(name, []).append(json.loads(data))
            match name, json.loads(data):
                case "status", {"status": "running"}:
                    gate.open(0)
                case "metrics", {"metrics": {"loss": 1.0}}:
                    gate.open(1)
                case "metrics", {"metrics": {"loss": 0.5}}:
                    gate.open(2)
    assert seen["progress"] == [{"progress": 0.0}, {"progress": 0.5}]
    assert seen["metrics"] == [{"metrics": {"loss": 1.0}}, {"metrics": {"loss": 0.5}}]
    assert seen["status"][-1] == show(server, path)
    assert show(server, path)["result"]["output"]["epochs"] == 2


def test_events_of_a_job_that_has_ended_are_what_it_came_to(server: Running, done: str) -> None:
    with events(server, f"{done}/events") as told:
        names = [name for name, _, _ in told]
    assert names == ["metrics", "progress", "status"]


def test_who_watches_a_training_that_is_cancelled_is_told(server: Running, gate: Gate) -> None:
    path = train(server, {"epochs": 1, "gate": gate.path})
    with events(server, f"{path}/events") as told, events(server, f"{path}/log?follow=1") as lines:
        assert next(told)[0] == "status"
        assert server.request("DELETE", path).status == 200
        assert json.loads([data for _, _, data in told][-1])["status"] == "cancelled"
        assert json.loads([data for _, _, data in lines][-1])["status"] == "cancelled"


@pytest.mark.parametrize("more", ["events", "log?follow=1"])
def test_a_client_that_leaves_frees_everything(server: Running, gate: Gate, more: str) -> None:
    path = train(server, {"epochs": 1, "gate": gate.path})
    eventually(lambda: status(server, path) == "running", within_s=60)

    def tasks() -> float:
        text = server.get("/metrics").body.decode()
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("modelserve_tasks "))

    before = tasks()
    with contextlib.ExitStack() as clients:
        for _ in range(20):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))
            client.sendall(f"GET {path}/{more} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b"200 OK" in read_until(client, HEAD_END)
        during = server.descriptors()
        assert tasks() >= before + 20
    eventually(lambda: server.descriptors() <= during - 18 and tasks() <= before + 4, within_s=60)
    gate.open(0, 1)
    assert ended(server, path)["status"] == "done"


def test_a_server_that_stops_ends_the_events_with_the_job(gate: Gate, tmp_path: Path) -> None:
    """G04."""
    with running([MODEL, "--train-cancel-s", "1"], folder=tmp_path) as server:
        path, waiting = (train(server, {"epochs": 1, "gate": gate.path}) for _ in range(2))
        eventually(lambda: status(server, path) == "running", within_s=60)
        with events(server, f"{path}/events") as told, events(server, f"{waiting}/events") as silent:
            assert next(told)[0] == next(silent)[0] == "status"
            server.process.terminate()
            assert json.loads([data for _, _, data in told][-1])["status"] == "lost"
            assert list(silent) == []
            assert server.process.wait(60) == 0


def test_metrics_are_kept_by_step(server: Running, done: str) -> None:
    points = server.get(f"{done}/metrics").json()
    assert [(point["step"], point["metrics"]) for point in points] == [
        (0, {"loss": 1.0}),
        (1, {"loss": 0.5}),
        (2, {"loss": pytest.approx(1 / 3)}),
    ]
    assert all(point["date"].endswith("Z") for point in points)
