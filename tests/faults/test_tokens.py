"""Tokens that are missing, wrong, revoked or misplaced, against a real server with clients."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiohttp import web

from modelserve.access.client import Role
from modelserve.jobs.runner import Runner
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.app import Parts, build_app
from tests.running import eventually
from tests.web.guarded import Guarded, basic, bearer, guarded, said

CHALLENGE = 'Basic realm="modelserve"'
MINE = "/v2/models/mine/predict/"
UUID = "0" * 32

# What nobody needs a token for; /assets/ too.
OPEN = {"/healthz", "/readyz", "/api", "/docs", "/redoc", "/ui"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("tokens"), "--log-level", "debug") as there:
        yield there


def routes() -> list[tuple[str, str]]:
    """Return (method, path) of all routes that a server has whatever it serves."""
    settings, metrics = Settings(), Metrics()
    app = build_app(Parts(Fleet([], settings, metrics), settings, metrics, jobs=cast(Runner, object())))
    # The one for any method is for several slashes in a row.
    found = [(route.method, _path(route)) for route in app.router.routes()]
    return [("GET", f"/{path}") if method == "*" else (method, path) for method, path in found]


def _path(route: web.AbstractRoute) -> str:
    assert route.resource is not None
    path = route.resource.canonical
    return path.replace("{name}", "mine").replace("{uuid}", UUID).replace("{path}", "a.txt")


def test_every_route_but_a_few_needs_a_token(there: Guarded) -> None:
    """K01, K13: of the routes that there are, so that a new one is private until this list says otherwise."""
    found = routes()
    assert len(found) > 60
    for method, path in [*found, ("POST", MINE), ("POST", "/v2/models/limited/train/")]:
        reply = there.ask(method, path)
        if path.rstrip("/") in OPEN or path.startswith("/assets/"):
            assert reply.status in (200, 302), (method, path)
        else:
            assert (reply.status, reply.headers.get("WWW-Authenticate")) == (401, CHALLENGE), (method, path)


def test_both_schemes_are_offered(there: Guarded) -> None:
    """K01: in a header each, since browsers understand no other form."""
    answer = there.raw(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"WWW-Authenticate: (.*)\r\n", answer) == [CHALLENGE.encode(), b"Bearer"]


def test_a_page_that_asks_by_itself_is_offered_what_browsers_ask_nobody_for(there: Guarded) -> None:
    """U11: a browser's own dialog keeps the token until the browser is closed."""
    for path in ("/v2/", "/openapi.json"):
        reply = there.ask("GET", path, headers={"X-Requested-With": "XMLHttpRequest"})
        assert (reply.status, reply.headers.get("WWW-Authenticate")) == (401, "Bearer")


def test_what_is_not_there_is_not_told_to_a_stranger(there: Guarded) -> None:
    """K01."""
    for method, path in (("GET", "/nothing"), ("DELETE", MINE), ("POST", "/v2/models/unknown/predict/")):
        assert there.ask(method, path).status == 401
    assert there.ask("GET", "/nothing", name="alice").status == 404
    assert there.ask("DELETE", "/v2/models/mine/", name="alice").status == 405


def test_an_unknown_route_is_for_administrators() -> None:
    """K01."""
    from modelserve.access.client import Right
    from modelserve.access.roll import Roll
    from modelserve.web.auth import Guard

    async def new(request: web.Request) -> web.Response:
        raise AssertionError

    app = web.Application()
    need = Guard(Roll()).need(app.router.add_get("/new", new))
    assert (need.right, need.is_whole) == (Right.ADMIN, True)


def test_a_token_is_taken_by_both_schemes(there: Guarded) -> None:
    for headers in (bearer(there.tokens["alice"]), basic("alice", there.tokens["alice"])):
        assert there.ask("GET", "/v2/models/", headers=headers).status == 200
    lower = {"authorization": f"bearer {there.tokens['alice']}"}
    assert there.ask("GET", "/v2/models/", headers=lower).status == 200


def test_what_is_no_token_is_refused_and_never_an_error(there: Guarded) -> None:
    """K02, K03."""
    token = there.tokens["alice"].encode()
    b64 = base64.b64encode
    values = [
        b"", b" ", b"Bearer \xff\xff",
        b"Basic", b"Bearer", b"Basic ", b"Bearer ", b"Basic !!!", b"Bearer !!!", b"Token " + token, token,
        b"Basic " + token, b"Basic " + b64(token), b"Basic " + b64(b"alice"), b"Basic " + b64(b":"),
        b"Basic " + b64(b"bob:" + token), b"Basic " + b64(b":" + token), b"Basic " + b64(b"alice:" + token[:-1]),
        b"Basic " + b64(b"\xff\xfe:\xff"), b"Basic " + b64("é:é".encode()), b"Basic " + b64("é:é".encode("latin-1")),
        b"Basic " + b64(b"alice:" + token)[:-2], b"Basic =" + b64(b"alice:" + token), b"Bearer \xe9",
        "Bearer é".encode(), b"Bearer " + token + b"x", b"Bearer " + token[:-1] + b"!", b"Bearer " + token.lower(),
        b"Bearer " + token + b" " + token, b"Bearer " + b"a" * 7000, b"Basic " + b"QUJD" * 1800, b"Negotiate abc",
        b"Bearer " + token + b", Bearer " + token, b"Bearer ms_0000000000_" + b"0" * 43 + b"000000",
    ]  # fmt: skip
    assert len(values) > 30
    for value in values:
        assert _status(there, b"Authorization: " + value) == 401, value
    assert _status(there, b"Authorization: Bearer " + token + b"\r\nAuthorization: Bearer " + token) == 401
    assert _status(there, b"Authorization: Bearer " + token + b"\r\nAuthorization: Bearer x") == 401
    assert _status(there, b"Authorization: Bearer " + token) == 200


def _status(there: Guarded, header: bytes) -> int:
    request = b"GET /v2/models/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + header + b"\r\n\r\n"
    return int(there.raw(request).split(b" ", 2)[1])


def test_who_fails_too_often_waits_and_others_do_not(there: Guarded) -> None:
    """K05: by address; the token from another address still works."""
    with there.connection() as connection:
        replies = [said(connection, "GET", "/v2/", None, bearer("wrong")) for _ in range(12)]
        right = said(connection, "GET", "/v2/", None, there.headers("alice"))
    assert {reply.status for reply in replies[:10]} == {401}
    assert replies[-1].status == 429
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 60
    assert right.status == 200
    assert there.ask("GET", "/v2/", name="alice").status == 200


def test_a_revoked_token_ends_within_a_second_on_an_open_connection_too(there: Guarded) -> None:
    """K06."""
    there.add("gone")
    with there.connection() as connection:
        assert said(connection, "GET", "/v2/models/", None, there.headers("gone")).status == 200
        socket_before = connection.sock
        there.clients.revoke("gone")
        since = time.monotonic()
        eventually(lambda: said(connection, "GET", "/v2/models/", None, there.headers("gone")).status == 401)
        assert time.monotonic() - since < 3  # a second where the machine is idle
        assert connection.sock is socket_before
        events = said(connection, "GET", f"/v2/models/mine/predict/{UUID}/events", None, there.headers("gone"))
    assert events.status == 401


def test_an_expired_token_ends(there: Guarded) -> None:
    """K06."""
    there.add("brief", expires=datetime.now(UTC) + timedelta(seconds=2))
    eventually(lambda: there.ask("GET", "/v2/", name="brief").status in (401, 429))


FOLLOW = "GET /v2/models/mine/log?follow=1 HTTP/1.1"
SEND = "POST /v2/models/mine/predict/ HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000"


@contextlib.contextmanager
def going_on(there: Guarded, name: str, what: str) -> Iterator[socket.socket]:
    """Begin what goes on for long as a client, and yield its connection once the server is at it."""
    token = there.headers(name)["Authorization"]
    with socket.create_connection(("127.0.0.1", there.server.port), timeout=20) as connection:
        connection.sendall(f"{what}\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
        if what == FOLLOW:
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        yield connection


def ends(connection: socket.socket) -> float:
    """Return after how long a connection ends."""
    since = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return time.monotonic() - since


@pytest.mark.parametrize("what", [FOLLOW, SEND], ids=["a log that is followed", "a body that is sent"])
def test_what_goes_on_ends_with_the_token_of_its_client_and_of_no_other(there: Guarded, what: str) -> None:
    """X10."""
    name = "follower" if what == FOLLOW else "sender"
    there.add(name, Role.ADMIN)
    with going_on(there, name, what) as connection, going_on(there, "root", FOLLOW) as other:
        there.clients.revoke(name)
        assert ends(connection) < 3  # a second where the machine is idle
        other.settimeout(0.5)
        with pytest.raises(TimeoutError):
            ends(other)


def test_what_goes_on_ends_when_the_token_expires(there: Guarded) -> None:
    """X10."""
    there.add("briefly", Role.ADMIN, expires=datetime.now(UTC) + timedelta(seconds=4))
    with going_on(there, "briefly", FOLLOW) as connection:
        assert ends(connection) < 8


def test_a_token_elsewhere_than_in_its_header_is_none(there: Guarded) -> None:
    """K07."""
    token = there.tokens["alice"]
    for place in ("token", "access_token", "api_key", "authorization"):
        assert there.ask("POST", f"{MINE}?{place}={token}", {}).status == 401
        assert there.ask("POST", MINE, {place: token}).status == 401
        assert there.ask("POST", MINE, {}, headers={"X-Api-Key": token, "Cookie": f"{place}={token}"}).status == 401
    assert token not in there.server.log


TRICKS = (
    "//v2/models/mine/", "/v2//models/mine/", "/v2/models//mine/", "/v2/models/mine//", "///v2/models/mine/predict/",
    "/./v2/models/mine/", "/v2/./models/mine/", "/v2/models/mine/.", "/v2/models/x/../mine/", "/v2/models/mine/x/..",
    "/healthz/../v2/models/mine/", "/api/../v2/models/mine/", "/assets/../v2/models/mine/", "/../v2/models/mine/",
    "/%2e/v2/models/mine/", "/healthz/%2e%2e/v2/models/mine/", "/assets/%2e%2e/v2/models/mine/", "/%2e%2e/metrics",
    "/v2%2fmodels%2fmine/", "/v2/models%2fmine/", "/%2fv2/models/mine/", "/v2/models/mine%2f",
    "/v2/models/mine%2Fpredict/",
    "/V2/models/mine/", "/v2/MODELS/mine/", "/v2/models/MINE/", "/v2/models/%6dine/", "/v2/models/%6Dine/predict/",
    "/%76%32/models/mine/", "/v2/models/mine;/", "/v2/models/mine/;", "/v2/models/mine/;x=1", "/;/v2/models/mine/",
    "/healthz;/../v2/models/mine/", "/healthz;/v2/models/mine/", "/v2/models/mine%00/", "/v2/models/mine%20/",
    "/v2/models/mine%09/", "/v2/models/mine/?/healthz", "/v2/models/mine/?x=/healthz", "/v2/models/mine/#/healthz",
    "/v2/models/mine/%23/healthz", "/v2/models/mine/%3f/healthz", "/v2/models/mine\\", "\\v2\\models\\mine\\",
    "/v2/models/open/../mine/", "/v2/models/open/%2e%2e/mine/", "/v2/models/open%2f..%2fmine/",
    "/v2/models/open;/../mine/",
    "/v2/models/open/predict/../../mine/", "/v2/models/mine/predict/../../open/train/", "/v2/models/open/train/",
    "/v2/models/open/predict/" + UUID, "/metrics/", "/metrics;x", "/openapi.json/", "/swagger.json?x", "/metrics%2f",
    "/api/metrics", "/assets/metrics", "/readyz/../metrics", "http://127.0.0.1/v2/models/mine/", "http://x/public?/v2/",
    "http://localhost/healthz/../metrics", "/v2/models/mine/train/", "//localhost/v2/models/mine/", "*",
    "/%c0%ae/metrics",
)  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_way_to_write_a_path_gets_round_its_verdict(there: Guarded, method: str) -> None:
    """K10: a stranger gets nothing, and a client of another deployment nothing of this one."""
    assert len(TRICKS) >= 60
    bob = f"Authorization: Bearer {there.tokens['bob']}\r\n"
    for path in TRICKS:
        assert _tried(there, method, path) in (400, 401, 404, 421), path
        if "//" in path.partition("?")[0].removeprefix("http://"):
            assert _tried(there, method, path, bob) == 308, path
        elif not re.search("json|open", path):  # what bob may have too
            assert _tried(there, method, path, bob) in (400, 403, 404, 405, 421), path


@pytest.mark.parametrize(
    "line",
    [
        "Host: x/public?",
        "X-Original-URL: /healthz",
        "X-Rewrite-URL: /healthz",
        "X-HTTP-Method-Override: GET",
        "X-Forwarded-Prefix: /healthz",
        "X-Forwarded-User: root",
        "X-Forwarded-For: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=localhost",
        "X-Forwarded-Host: localhost/healthz?",
        "Referer: http://localhost/api",
    ],
)
def test_no_header_gets_round_the_verdict_of_a_path(there: Guarded, line: str) -> None:
    """K10."""
    for path in ("/metrics", "/v2/models/mine/", "/v2/"):
        assert _tried(there, "GET", path, f"{line}\r\n") in (400, 401, 421), path


def _tried(there: Guarded, method: str, path: str, lines: str = "") -> int:
    host = "" if lines.startswith("Host") else "Host: localhost\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 2\r\n" if method == "POST" else ""
    request = f"{method} {path} HTTP/1.1\r\n{host}{lines}{body}Connection: close\r\n\r\n{'{}' if body else ''}"
    return int(there.raw(request.encode()).split(b" ", 2)[1])


def test_a_body_is_asked_for_only_where_there_is_a_token(there: Guarded) -> None:
    """K01."""
    head = f"POST {MINE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    head += "Expect: 100-continue\r\nConnection: close\r\n"
    assert there.raw(f"{head}\r\n{{}}".encode()).startswith(b"HTTP/1.1 401 ")
    known = "".join(f"{name}: {value}\r\n" for name, value in there.headers("alice").items())
    assert b"HTTP/1.1 100 Continue" in there.raw(f"{head}{known}\r\n{{}}".encode())


def test_a_token_is_found_nowhere(there: Guarded) -> None:
    """K08, last of this file: what all of it has left behind is searched, beside what this test itself does."""
    token = there.tokens["dora"]
    forms = (bearer(token), basic("dora", token))
    for headers in forms:
        for body in ({}, {"x": -1}, {"nothing": 1}):
            there.ask("POST", MINE, body, headers=headers)
        there.ask("POST", f"/v2/models/mine/train/?token={token}", {}, headers=headers)
        job = there.ask("POST", MINE, {"x": 1}, headers=headers | {"Prefer": "respond-async"}).json()
        assert "uuid" in job
        done = eventually(lambda job=job: _ended(there, f"{MINE}{job['uuid']}"), within_s=60)  # type: ignore[misc]
        assert done["result"]["output"]["predictions"]["authorization"] == ""
        there.ask("GET", "/nothing", headers=headers | {"X-Request-ID": token})
    secret = token.split("_")[2]
    encoded = forms[1]["Authorization"].split()[1]
    wanted = [text.encode() for text in (token, secret, encoded, encoded[8:60])]
    for place, content in _everything(there):
        assert not any(text in content for text in wanted), place


def _ended(there: Guarded, path: str) -> dict[str, Any]:
    job: dict[str, Any] = there.ask("GET", path, name="dora").json()
    return job if job["status"] in ("done", "error") else {}


def _everything(there: Guarded) -> Iterator[tuple[str, bytes]]:
    yield "metrics", there.ask("GET", "/metrics", name="root").body
    yield "jobs", there.ask("GET", MINE, name="root").body
    yield "openapi", there.ask("GET", "/openapi.json", name="root").body
    for path in there.server.folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    family = there.server.family()
    assert len(family) >= 5
    for process in family:
        yield f"arguments of {process}", "\0".join(process.cmdline()).encode()
        yield f"environment of {process}", repr(process.environ()).encode()
