"""The files of a training: its artifacts, which nobody gets out of, and its result."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.running import Running, eventually, running
from tests.web.v2.asking import MODEL, TRAIN, Gate, ended, show, status, train


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([MODEL], folder=tmp_path_factory.mktemp("files")) as server:
        yield server


@pytest.fixture(scope="module")
def done(server: Running) -> str:
    """Return the path of a training that has kept files and is done."""
    path = train(server, {"epochs": 0, "mode": "files"})
    assert ended(server, path)["status"] == "done"
    return path


def test_artifacts_are_listed_with_size_and_media_type(server: Running, done: str) -> None:
    assert server.get(f"{done}/artifacts").json() == [
        {"name": "empty.json", "size": 0, "media_type": "application/json"},
        {"name": "plots/loss.svg", "size": 6, "media_type": "image/svg+xml"},
        {"name": "weights.bin", "size": 1_000_000, "media_type": "application/octet-stream"},
        {"name": "über 1.txt", "size": 2, "media_type": "text/plain"},
    ]


def test_every_artifact_that_is_listed_can_be_downloaded(server: Running, done: str) -> None:
    for artifact in server.get(f"{done}/artifacts").json():
        for slash in ("", "/"):
            reply = server.get(f"{done}/artifacts/{quote(artifact['name'])}{slash}")
            assert (reply.status, len(reply.body)) == (200, artifact["size"])
            assert reply.headers["Content-Type"] == artifact["media_type"]
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            name = quote(artifact["name"].rpartition("/")[2], safe="")
            assert reply.headers["Content-Disposition"].endswith(f"; filename*=UTF-8''{name}")


def test_a_picture_that_may_hold_a_script_is_a_download_without_rights(server: Running, done: str) -> None:
    reply = server.get(f"{done}/artifacts/plots/loss.svg")
    assert reply.headers["Content-Security-Policy"] == "sandbox"
    assert reply.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name",
    [
        "nosuch",
        "plots",
        "plots/",
        ".",
        "..",
        "../log",
        "..%2flog",
        "%2e%2e/log",
        "%2e%2e%2flog",
        "plots/../../log",
        "plots/../weights.bin",
        "./weights.bin",
        "/weights.bin",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "passwd",
        "outside/passwd",
        "weights.bin%00",
        "weights.bin%00.png",
        "weights.bin%0a",
        "%ff",
        "x" * 5000,
    ],
)
def test_nothing_but_what_is_listed_is_served(server: Running, done: str, name: str) -> None:
    """M04, M05."""
    head = f"GET {done}/artifacts/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] == b"404", answer
    assert b"root:" not in answer


def test_a_result_is_there_once_the_training_is_done(server: Running, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    path = train(server, {"epochs": 0, "gate": gate.path})
    eventually(lambda: status(server, path) == "running", within_s=60)
    reply = server.get(f"{path}/result")
    assert (reply.status, reply.json()["code"]) == (404, "not_found")
    assert server.get(f"{path}/artifacts").json() == []
    gate.open(0)
    output = ended(server, path)["result"]["output"]
    reply = server.get(f"{path}/result")
    assert (reply.status, reply.headers["Content-Type"], reply.json()) == (200, "application/json", output)


def test_a_training_that_failed_has_no_result(server: Running) -> None:
    path = train(server, {"epochs": 0, "mode": "fail"})
    assert ended(server, path)["status"] == "error"
    assert server.get(f"{path}/result").status == 404


def test_a_large_result_is_in_no_list_and_not_in_the_object(server: Running) -> None:
    """H09."""
    path = train(server, {"epochs": 0, "mode": "big"})
    result = ended(server, path)["result"]
    reply = server.get(f"{path}/result")
    assert (result["output"], result["output_bytes"]) == (None, len(reply.body))
    assert len(reply.json()["more"]) == 200_000
    assert len(server.get(TRAIN).body) < 10_000
    assert len(str(show(server, path))) < 10_000
