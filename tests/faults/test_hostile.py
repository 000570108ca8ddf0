"""Requests that want to be unpickled, to reach files, to find another door, or to write the log. Rows L, M and N."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.confined import confined
from tests.faults.raw import read_all
from tests.running import Running, multipart, running

PREDICT = "/v2/models/chaos/predict/"
TRAIN = "/v2/models/chaos/train/"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    visible = [packages["chaos"]]
    within = confined(folder, seen=visible, alone=True)
    with running(["chaos", "--log-level", "debug"], visible=visible, folder=folder, within=within) as server:
        yield server


def raw(server: Running, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        return read_all(connection)


class Canary:
    """Makes a file wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def served(server: Running) -> list[tuple[str, str]]:
    """Return every method and path that the server says it has, with something in the place of parameters."""
    paths = server.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "0" * 32, path))
        for path, methods in paths.items()
        for method in methods
        if method in ("get", "post", "delete")
    ]


def test_a_pickle_is_never_loaded_wherever_it_is_put(server: Running, tmp_path: Path) -> None:
    """M02."""
    made = tmp_path / "canary"
    dumped = pickle.dumps(Canary(made), 0)
    text, encoded = dumped.decode("latin-1"), base64.b64encode(dumped).decode()
    form, form_type = multipart({"text": text, "mode": encoded}, {"file": ("a.pkl", dumped, "application/x-pickle")})
    fields = json.dumps({"text": text, "mode": encoded, "data": {"__reduce__": text, "py/reduce": encoded}}).encode()
    kinds = ["application/x-pickle", "application/python-pickle", "application/x-dill", "application/octet-stream"]
    bodies = [(dumped, kind) for kind in kinds] + [(form, form_type), (fields, "application/json")]
    routes = served(server)
    assert len(routes) > 10
    for method, path in routes:
        for body, kind in bodies if method == "POST" else bodies[:1]:
            headers = {"Content-Type": kind, "Accept": kinds[0], "X-Data": encoded, "Idempotency-Key": encoded[:200]}
            reply = server.request(method, f"{path}?data={encoded[:500]}", body, headers)
            assert reply.status != 500, (method, path, kind, reply.body)
    assert not made.exists()
    pickle.loads(dumped)
    assert made.is_dir(), "it would have been seen"


def test_nothing_listens_but_the_port_and_the_operators_door(server: Running) -> None:
    """M03: workers hang on pairs of sockets that have no name."""
    listening, named = set(), set()
    for process in server.family():
        for found in process.net_connections("inet"):
            if found.status == psutil.CONN_LISTEN or found.type == socket.SOCK_DGRAM:
                listening.add((process.pid, found.laddr.port))
        named |= {(process.pid, found.laddr) for found in process.net_connections("unix") if found.laddr}
    assert listening == {(server.pid, server.port)}
    assert {pid for pid, _ in named} <= {server.pid}
    assert len({address for _, address in named}) <= 1


TRAVERSALS = [
    f"{folder}{steps}{target}"
    for folder in ("/assets/", "/", "/v2/models/", "/api/")
    for steps in ("../../", "..%2f..%2f", "%2e%2e/%2e%2e/", "..\\..\\", "....//....//", "..;/..;/", "%252e%252e%252f")
    for target in ("etc/passwd", "pages.py")
]


def test_no_path_leads_out_of_the_assets(server: Running) -> None:
    """M04."""
    more = ["/assets", "/assets/", "/assets/.", "/assets/%00", "/assets/icon.svg%00.js", "//assets/icon.svg"]
    for path in [*TRAVERSALS, *more, "/assets/page.css.gz", "/assets/__init__.py", "/assets//etc/passwd"]:
        answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.[01] (40[04]|308) ", answer), (path, answer[:300])
        assert b"root:" not in answer
        assert b"Index of" not in answer


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc%2fpasswd", "%00", "a%00b", "x" * 7000, "%2e%2e", "0" * 31, "0" * 33, "-1", "%ff%fe", "*", "~"],
)
def test_an_id_that_is_none_is_nothing_that_there_is(server: Running, name: str) -> None:
    """M05."""
    for method, path in [
        ("GET", f"/v2/models/{name}"),
        ("POST", f"/v2/models/{name}/predict/"),
        ("GET", f"{TRAIN}{name}"),
        ("GET", f"{TRAIN}{name}/log"),
        ("DELETE", f"{TRAIN}{name}"),
    ]:
        reply = server.request(method, path, b"{}" if method == "POST" else None, JSON)
        assert (reply.status, reply.json()["code"]) == (404, "not_found"), path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/systemsharedmemory/region/x/register"),
        ("POST", "/v2/cudasharedmemory/region/x/register"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/chaos/load"),
        ("POST", "/v2/repository/models/chaos/unload"),
        ("POST", "/v2/logging"),
        ("POST", "/v2/trace/setting"),
        ("POST", "/models?url=http://evil.example/model.mar"),
        ("PUT", "/v2/models/chaos"),
        ("POST", "/reload"),
        ("GET", "/status"),
    ],
)
def test_what_loads_models_or_opens_memory_by_request_is_not_there(server: Running, method: str, path: str) -> None:
    """M06."""
    assert server.request(method, path, b"{}", JSON).status in (404, 405)


# What ends a line, drives a terminal, or looks like a record.
UGLY = "a\r\nb\x1b[31mc\u2028d\x00e 2026-01-01T00:00:00.000Z ERROR forged"


def test_what_a_client_sends_never_begins_a_line_of_the_log(server: Running) -> None:
    """N01, N06."""
    quoted = "".join(f"%{byte:02x}" for byte in UGLY.encode())
    body, kind = multipart({UGLY[:1] + "\x1b\u2028": UGLY}, {"file": (UGLY, b"x", "text/plain")})
    server.get(f"/{quoted}")
    server.get(f"/v2/models/{quoted}")
    server.request("POST", f"{PREDICT}?{quoted}={quoted}", b"{}", JSON)
    server.request("POST", PREDICT, body, {"Content-Type": kind})
    server.request("POST", PREDICT, json.dumps({"mode": "raise", "text": UGLY, UGLY: UGLY}).encode(), JSON)
    server.request("POST", PREDICT, json.dumps({"mode": "raise", "text": UGLY}).encode(), JSON)
    server.get("/v2/", **{"X-Request-ID": "a\tb"})
    for line in server.log.splitlines():
        assert line.isprintable(), repr(line)
        assert not line.startswith("2026-01-01")


def test_an_error_repeats_nothing_of_a_request_in_a_page(server: Running) -> None:
    """L07."""
    script = "<script>alert(1)</script>"
    replies = [
        server.request("POST", PREDICT, b"{}", {"Content-Type": f"text/html; {script}"}),
        server.request("POST", PREDICT, b"{}", {"Content-Type": "application/json", "Accept": f"text/html, {script}"}),
        server.request("POST", f"{PREDICT}?{script.replace(' ', '')}=1", b"{}", JSON),
        server.request("GET", f"/{script}", headers={"Accept": "text/html"}),
        server.request("POST", PREDICT, b"{}", JSON | {"X-Timeout-S": script}),
        server.request("POST", PREDICT, b"{}", JSON | {"Expect": script}),
        server.request("GET", "/v2/", headers={"X-Request-ID": script}),
    ]
    for reply in replies:
        assert reply.headers["Content-Type"].startswith("application/json")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert not any(script in value for value in reply.headers.values())


def test_every_answer_says_that_its_type_is_its_type(server: Running) -> None:
    """L06."""
    for path in (
        "/",
        "/v2/",
        "/v2/models/",
        "/openapi.json",
        "/metrics",
        "/healthz",
        "/api",
        "/assets/icon.svg",
        "/no",
    ):
        assert server.get(path).headers["X-Content-Type-Options"] == "nosniff", path
    assert server.predict("chaos", {"mode": "ok"}).headers["X-Content-Type-Options"] == "nosniff"
