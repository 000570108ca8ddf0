"""Files of trainings that a training has replaced, named oddly, or made thousands of, on the running server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.faults import keeper
from tests.running import Running, eventually, multipart, running
from tests.web.v2.asking import ENDED

MODEL = f"{keeper.__file__}:Keeper"
TRAIN = "/v2/models/keeper/train/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running([MODEL], folder=tmp_path_factory.mktemp("keeper")) as server:
        yield server


@pytest.fixture
def foreign(server: Running, tmp_path: Path) -> Path:
    """Return a folder with a file that is none of any job, on the same file system."""
    (tmp_path / "secret").write_text("a secret")
    return tmp_path


def train(server: Running, **arguments: Any) -> str:
    body, kind = multipart({name: str(value) for name, value in arguments.items()}, {})
    reply = server.request("POST", TRAIN, body, {"Content-Type": kind})
    assert reply.status == 200, reply.body
    path = TRAIN + str(reply.json()["uuid"])
    eventually(lambda: server.get(path).json()["status"] in ENDED, within_s=60)
    assert server.get(path).json()["status"] == "done"
    return path


def names(server: Running, path: str) -> list[str]:
    return [artifact["name"] for artifact in server.get(f"{path}/artifacts").json()]


def test_a_link_in_place_of_the_folder_leads_nowhere(server: Running, foreign: Path) -> None:
    """X15."""
    path = train(server, mode="link", path=foreign)
    assert names(server, path) == []
    assert server.get(f"{path}/artifacts/secret").status == 404


def test_only_regular_files_of_the_job_are_its_artifacts(server: Running, foreign: Path) -> None:
    """X15: a link to a file or a folder, a second name of somebody's file, a pipe."""
    path = train(server, mode="inside", path=foreign)
    assert names(server, path) == ["own"]
    assert server.get(f"{path}/artifacts/own").body == b"own"
    for name in ("folder/secret", "file", "hard", "pipe", "folder"):
        assert server.get(f"{path}/artifacts/{name}").status == 404


def test_a_log_that_was_replaced_shows_nobody_elses_file(server: Running, foreign: Path) -> None:
    """X15."""
    path = train(server, mode="log", path=foreign)
    for query in ("", "?tail=10", "?follow=1"):
        reply = server.get(f"{path}/log{query}")
        assert (reply.status, b"secret" in reply.body) == (200, False)


def test_a_result_is_written_into_no_file_that_a_link_names(server: Running, foreign: Path) -> None:
    """X15."""
    path = train(server, mode="output", path=foreign)
    assert len(server.get(f"{path}/result").json()) == 200_000
    assert (foreign / "secret").read_text() == "a secret"
    eventually(lambda: not list(server.data.glob("jobs/*/uploads")))
    assert (foreign / "secret").exists(), "its folder was not the job's"


def test_files_of_any_name_are_listed_and_downloaded(server: Running) -> None:
    """X8: what is no UTF-8 is written with percent signs, and found by that."""
    path = train(server, mode="odd")
    listed = names(server, path)
    assert len(listed) == len(keeper.ODD_NAMES)
    assert {"no text %FF%FE", "folder %E9/inner %E9"} <= set(listed)
    replies = {name: server.get(f"{path}/artifacts/{quote(name)}") for name in listed}
    assert {reply.status for reply in replies.values()} == {200}
    assert {reply.body for reply in replies.values()} == set(keeper.ODD_NAMES)
    assert server.get(f"{path}/artifacts/no%20text%20%FF%FE").status == 200


def test_the_command_line_fetches_files_of_any_name(server: Running, tmp_path: Path) -> None:
    """X8."""
    url = f"http://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "modelserve", "train", "keeper", "--url", url, "--mode", "odd"]
    done = subprocess.run([*command, "--artifacts", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    fetched = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(fetched) == len(keeper.ODD_NAMES)


def test_many_files_are_listed_by_pages_and_each_is_found_without_the_others(server: Running) -> None:
    """X13: an upload is not held up by those who download."""
    path = train(server, mode="many", n=2500)
    listed, following = [], f"{path}/artifacts"
    while following:
        reply = server.get(following)
        listed += [artifact["name"] for artifact in reply.json()]
        link = reply.headers.get("Link", "")
        following = f"{path}/artifacts{link.partition('>')[0][1:]}" if link else ""
    assert listed == [f"{number:06}" for number in range(2500)]
    assert len(server.get(f"{path}/artifacts").json()) == 1000
    assert len(server.get(f"{path}/artifacts?limit=3&cursor=000099").json()) == 3
    assert server.get(f"{path}/artifacts?limit=0").status == 400
    with ThreadPoolExecutor(16) as clients:
        replies = list(clients.map(lambda _: server.get(f"{path}/artifacts/001234"), range(160)))
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"x")}
