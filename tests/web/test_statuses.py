"""Each route of the documents is asked in many ways, and gives no status that its document does not have.

The fuzzer asks in more ways, by what the document says; here are those that it cannot think of: tokens, hosts, pages of
other sites, a store that is locked.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelserve.web.routes_text import ABOUT
from tests.faults.fuzzed import MODEL
from tests.running import Running, eventually, running

JSON, ASYNC = {"Content-Type": "application/json"}, {"Prefer": "respond-async"}
BODIES = {"train": b'{"epochs": 1}', "predict": b"{}"}

# What the document says of all routes together.
OF_ANY = frozenset(re.findall(r"[45][0-9][0-9]", ABOUT))

# What is put into a path where the document has a name in braces.
PLACES = {"{path}": "weights.txt", "{name}": "fuzzed"}


class Way(NamedTuple):
    """How a route is asked; ``role`` is whose token is sent, "" for none."""

    role: str = "admin"
    headers: Mapping[str, str] = {}
    query: str = ""
    body: bytes | None = None
    places: Mapping[str, str] = {}


WAYS = {
    "rightly": Way(),
    "as a job": Way(headers=ASYNC),
    "without a token": Way(role=""),
    "with a wrong token": Way(role="", headers={"Authorization": "Bearer x"}),
    "as one who may little": Way(role="client"),
    "for what is not there": Way(places={"{uuid}": "0" * 32, "{name}": "nosuch", "{path}": "nosuch"}),
    "for what cannot be": Way(places={"{uuid}": "x", "{path}": "../log"}),
    "with a wrong query": Way(query="?limit=x&tail=x&cursor=x&steps=x&follow=x&callback_url=http://evil.example/"),
    "with a long query": Way(query=f"?x={'y' * 9000}"),
    "with a query that is no text": Way(query="?x=%ff"),
    "with a long head": Way(headers={"X-Long": "y" * 70_000}),
    "for a picture": Way(headers={"Accept": "image/png"}),
    "for no media type": Way(headers={"Accept": "\xff"}),
    "for a part": Way(headers={"Range": "bytes=99999-"}),
    "if it has changed": Way(headers={"If-None-Match": "*", "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "with something expected": Way(headers={"Expect": "nothing"}),
    "by another name": Way(headers={"Host": "evil.example"}),
    "from another page": Way(headers={"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}),
    "with broken JSON": Way(body=b"{"),
    "with a wrong argument": Way(body=b'{"nosuch": 1}'),
    "as text": Way(headers={"Content-Type": "text/plain"}, body=b"x"),
    "compressed": Way(headers={"Content-Encoding": "gzip"}, body=b"x"),
    "with too much": Way(body=b'{"mode": "' + bytes(50_000) + b'"}'),
    "with a wrong key": Way(headers={"Idempotency-Key": "\xff"}),
    "with no time": Way(headers={"X-Timeout-S": "x"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("statuses")


@pytest.fixture(scope="module")
def tokens(folder: Path) -> dict[str, str]:
    """Return a token for each role."""
    env = {**os.environ, "MODELSERVE_DATA_DIR": str(folder / "data")}
    command = [sys.executable, "-m", "modelserve", "clients", "add"]
    return {
        role: subprocess.run(
            [*command, role, "--role", role], env=env, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        for role in ("admin", "client")
    }


@pytest.fixture(scope="module")
def server(folder: Path, tokens: dict[str, str]) -> Iterator[Running]:
    with running([MODEL, "--failed-logins", "0", "--max-body-bytes", "40000"], folder=folder) as server:
        yield server


@pytest.fixture(scope="module")
def uuids(server: Running, tokens: dict[str, str]) -> dict[str, str]:
    """Return the id of a job of each operation that has ended."""
    found, token = {}, {"Authorization": f"Bearer {tokens['admin']}"}
    for operation, body in BODIES.items():
        path = f"/v2/models/fuzzed/{operation}/"
        found[operation] = server.request("POST", path, body, JSON | ASYNC | token).json()["uuid"]
        one = f"{path}{found[operation]}"
        eventually(lambda: server.get(one, **token).json()["status"] == "done", within_s=60)  # noqa: B023
    return found


def asked(server: Running, document: str, tokens: dict[str, str], uuids: dict[str, str], way: Way) -> list[str]:
    """Ask every route in a way, and return what was answered that is not in the document."""
    token = {"Authorization": f"Bearer {tokens[way.role]}"} if way.role else {}
    read = json.loads(server.get(document, Authorization=f"Bearer {tokens['admin']}").body)
    routes = [(path, method, about) for path, item in read["paths"].items() for method, about in item.items()]
    assert len(routes) > 20

    def ask(route: tuple[str, str, dict[str, Any]]) -> str:
        path, method, about = route
        operation = "train" if "/train/" in path else "predict"
        url = path
        for place, value in ({"{uuid}": uuids[operation]} | PLACES | dict(way.places)).items():
            url = url.replace(place, value)
        is_post = method == "post"
        body = (way.body or BODIES[operation]) if is_post else None
        headers = {**(JSON if is_post else {}), **token, **way.headers}
        reply = server.request(method.upper(), url + way.query, body, headers)
        known = {*about["responses"], *OF_ANY}
        return "" if str(reply.status) in known else f"{method} {path}: {reply.status} {reply.body[:200]!r}"

    with ThreadPoolExecutor(8) as threads:
        return [found for found in threads.map(ask, routes) if found]


@pytest.mark.parametrize("document", ["/openapi.json", "/swagger.json"])
def test_no_route_gives_a_status_that_its_document_does_not_have(
    server: Running, tokens: dict[str, str], uuids: dict[str, str], document: str
) -> None:
    """R06."""
    found = {name: asked(server, document, tokens, uuids, way) for name, way in WAYS.items()}
    assert {name: answers for name, answers in found.items() if answers} == {}


def test_nor_does_it_while_the_store_is_locked(
    server: Running, tokens: dict[str, str], uuids: dict[str, str], folder: Path
) -> None:
    """R06."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "modelserve.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert asked(server, "/openapi.json", tokens, uuids, WAYS["as a job"]) == []
