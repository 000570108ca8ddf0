"""Which hosts a server answers to, and which pages of a browser may call it. Rows L01 to L03 of the list of faults."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from modelserve.errors import SettingsError, WrongHost
from modelserve.settings import load_settings
from modelserve.web.gate import KNOWN, Rules, make_gate
from tests.faults.raw import read_all
from tests.running import Reply, Running, running
from tests.web import telling

PREDICT = "/v2/models/telling/predict/"
APP = "https://app.example.org"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server as it is without a setting."""
    with running([f"{telling.__file__}:Telling"], folder=tmp_path_factory.mktemp("gate")) as server:
        yield server


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with an allowed host, an allowed origin, and a proxy that it trusts."""
    rules = [
        "--allowed-hosts",
        "models.example.org,other.example:8443",
        "--cors-origins",
        f"{APP},http://localhost:3000",
    ]
    arguments = [f"{telling.__file__}:Telling", *rules, "--trusted-proxies", "127.0.0.2"]
    with running(arguments, folder=tmp_path_factory.mktemp("opened")) as server:
        yield server


def ask(server: Running, host: str, path: str = "/v2/") -> Reply:
    return server.get(path, Host=host)


def post(server: Running, **headers: str) -> Reply:
    return server.predict("telling", {}, **{name.replace("_", "-"): value for name, value in headers.items()})


def raw(server: Running, request: str, *, address: str = "127.0.0.1") -> bytes:
    """Return the answer to a request as it is written, sent from an address of this machine."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=(address, 0)) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        return read_all(connection)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:1", "localhost.", "127.0.0.1", "127.0.0.1:9999", "127.8.9.1", "[::1]", "[::1]:80"],
)
def test_a_local_server_answers_to_every_name_of_its_own_machine(server: Running, host: str) -> None:
    """L02: whatever port a tunnel has."""
    for _ in range(2):
        assert ask(server, host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[2001:db8::1]",
        "localhost@evil.example",
        "localhost/../evil",
        "localhost:port",
        " ",
        "a" * 3000,
    ],
)
@pytest.mark.parametrize("path", ["/v2/", "/healthz", "/openapi.json", "/nothing"])
def test_a_name_that_points_here_by_somebody_elses_will_is_refused(server: Running, host: str, path: str) -> None:
    """L02."""
    reply = ask(server, host, path)
    assert (reply.status, reply.json()["code"]) == (421, "wrong_host")
    assert host.strip() == "" or host.encode() not in reply.body


def test_many_forms_of_good_hosts_are_answered_and_not_all_kept(server: Running) -> None:
    """L02."""
    assert {ask(server, f"localhost:{port}", "/healthz").status for port in range(1, 400)} == {200}


def test_a_request_of_http_1_1_without_a_host_is_malformed_and_an_old_one_is_not(server: Running) -> None:
    assert b" 400 Bad Request\r\n" in raw(server, "GET /healthz HTTP/1.1\nConnection: close\n\n")
    assert raw(server, "GET /healthz HTTP/1.0\n\n").startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("models.example.org", 200),
        ("Models.Example.org:443", 200),
        ("other.example:8443", 200),
        ("other.example", 421),
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("sub.models.example.org", 421),
    ],
)
def test_an_allowed_host_is_answered(opened: Running, host: str, status: int) -> None:
    """L02."""
    assert ask(opened, host).status == status


def test_what_a_trusted_proxy_was_asked_for_counts(opened: Running) -> None:
    """L02: from the proxy, and from nobody else."""
    request = "GET /v2/ HTTP/1.1\nHost: {}\nX-Forwarded-Host: {}\nConnection: close\n\n"
    good, bad = "models.example.org", "evil.example"
    assert raw(opened, request.format("upstream", good), address="127.0.0.2").startswith(b"HTTP/1.1 200")
    assert raw(opened, request.format(good, bad), address="127.0.0.2").startswith(b"HTTP/1.1 421")
    assert raw(opened, request.format("upstream", good)).startswith(b"HTTP/1.1 421")
    assert raw(opened, request.format(good, bad)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"},
        {"Sec_Fetch_Site": "nonsense"},
        {"Origin": APP},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PREDICT),
        ("POST", "/v2/models/telling/train/"),
        ("DELETE", f"/v2/models/telling/train/{'0' * 32}"),
        ("POST", "/nothing"),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    server: Running, method: str, path: str, headers: dict[str, str]
) -> None:
    """L01."""
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    reply = server.request(method, path, b"{}", sent)
    assert (reply.status, reply.json()["code"]) == (403, "forbidden")


def test_a_form_of_another_page_is_no_call(server: Running) -> None:
    """L01: what a page may send without asking first is not read as JSON."""
    reply = server.request("POST", PREDICT, b"{}", {"Content-Type": "text/plain"})
    assert (reply.status, reply.json()["code"]) == (415, "unsupported_media")


def test_its_own_page_and_what_is_no_browser_may_call(server: Running) -> None:
    """L01."""
    own = f"http://127.0.0.1:{server.port}"
    assert post(server).status == 200
    assert post(server, Origin=own).status == 200
    assert post(server, Origin=own, Sec_Fetch_Site="same-origin").status == 200
    assert post(server, Sec_Fetch_Site="none").status == 200
    assert post(server, Origin="http://localhost", Host="localhost:80").status == 200


def test_a_link_from_another_site_still_leads_here(server: Running) -> None:
    reply = server.get("/api", **{"Sec-Fetch-Site": "cross-site"})
    assert reply.status == 200


def preflight(server: Running, origin: str, path: str = PREDICT) -> Reply:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-timeout-s"}
    return server.request("OPTIONS", path, headers=asked)


def allowed(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.lower().startswith("access-control-")}


def test_no_origin_is_allowed_unless_the_operator_says_so(server: Running) -> None:
    """L03."""
    refused = preflight(server, APP)
    assert (refused.status, allowed(refused)) == (405, {})
    assert allowed(server.get("/v2/", Origin=APP)) == {}


def test_an_allowed_origin_may_call_and_read(opened: Running) -> None:
    """L01, L03: never with a browser's own credentials."""
    agreed = preflight(opened, APP)
    assert (agreed.status, agreed.body) == (204, b"")
    assert agreed.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE"
    assert "Authorization" in agreed.headers["Access-Control-Allow-Headers"]
    for reply in (agreed, post(opened, Origin=APP, Sec_Fetch_Site="cross-site"), opened.get("/nothing", Origin=APP)):
        assert reply.headers["Access-Control-Allow-Origin"] == APP
        assert "Origin" in reply.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in reply.headers
    assert post(opened, Origin=APP).status == 200


def test_another_origin_is_still_not_allowed(opened: Running) -> None:
    """L01, L03."""
    refused = preflight(opened, EVIL)
    assert (refused.status, allowed(refused)) == (405, {})
    assert (post(opened, Origin=EVIL).status, allowed(post(opened, Origin=EVIL))) == (403, {})
    assert allowed(opened.get("/v2/")) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cors_origins", "*"),
        ("cors_origins", "app.example.org"),
        ("cors_origins", "https://app.example.org/path"),
        ("cors_origins", "ftp://app.example.org"),
        ("allowed_hosts", "https://models.example.org"),
        ("allowed_hosts", "*"),
        ("trusted_proxies", "proxy.example.org"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "*"),
    ],
)
def test_a_setting_that_says_nothing_of_the_kind_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value}, {})


def test_settings_are_brought_into_one_form() -> None:
    given = {"cors_origins": "HTTPS://App.example.org:443/ , http://localhost:3000,"}
    given |= {"trusted_proxies": " 127.0.0.1, 10.0.0.0/8 ,::1"}
    settings = load_settings(given, {})
    assert settings.cors_origins == "https://app.example.org,http://localhost:3000"
    assert settings.trusted_proxies == "127.0.0.1/32,10.0.0.0/8,::1/128"


def test_links_lead_back_through_a_proxy_that_takes_a_prefix_off(opened: Running) -> None:
    request = "GET {} HTTP/1.1\nHost: localhost\nX-Forwarded-Prefix: /lab\nAccept: text/html\nConnection: close\n\n"
    for path, told in [
        ("/", b"Location: /lab/api\r\n"),
        ("/ui", b"Location: /lab/api\r\n"),
        ("/api", b'href="/lab/assets/icon.svg"'),
        ("/v2/", b'"href":"/lab/v2/"'),
        ("/v2/models/", b'"href":"/lab/v2/models/telling/predict/"'),
        ("/v2/models/telling", b'"href":"/lab/v2/models/telling/"'),
        ("/openapi.json", b'"servers":[{"url":"/lab"}]'),
        ("/swagger.json", b'"basePath":"/lab"'),
    ]:
        assert told in raw(opened, request.format(path), address="127.0.0.2"), path
        assert b"/lab" not in raw(opened, request.format(path)), path


def test_no_more_good_hosts_are_remembered_than_the_bound() -> None:
    """A client can make up ports: each is let in, and few are kept."""
    known = set[str]()
    gate = make_gate(Rules(frozenset({"localhost"})), known)
    for port in range(1, 2 * KNOWN):
        gate(request_for(f"localhost:{port}"))
    assert len(known) == KNOWN
    with pytest.raises(WrongHost):
        gate(request_for("evil.example"))
    assert "evil.example" not in known


def request_for(host: str) -> web.Request:
    return make_mocked_request("GET", "/", {"Host": host}, transport=asyncio.Transport())
