"""A host with several addresses is served at all of them, on one port: L10."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modelserve.errors import PortInUse, SettingsError
from modelserve.listening import are_loopback, listen, require_clients
from modelserve.server import Server
from modelserve.settings import Settings
from tests.authority import Authority


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that gives the host ``several.test`` its addresses, as the hosts file of the machine would."""
    real = socket.getaddrinfo

    def resolve(*addresses: str) -> None:
        def found(host: str, *arguments: Any, **options: Any) -> list[Any]:
            hosts = addresses if host == "several.test" else (host,)
            return [each for one in hosts for each in real(one, *arguments, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return resolve


@contextlib.contextmanager
def listening_at(host: str, port: int = 0) -> Iterator[Sequence[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(each) for each in listen(host, port)]


def _addresses(listening: Sequence[socket.socket]) -> list[str]:
    return [each.getsockname()[0] for each in listening]


@needs_ipv6
def test_both_addresses_have_one_port_and_that_of_ipv4_is_first(resolves: Any) -> None:
    resolves("::1", "127.0.0.1", "::1")
    with listening_at("several.test") as listening:
        assert _addresses(listening) == ["127.0.0.1", "::1"]
        assert len({each.getsockname()[1] for each in listening}) == 1
        require_clients(listening, Settings(host="several.test"), has_clients=False)


@needs_ipv6
def test_all_addresses_of_both_kinds_do_not_take_each_others_port(resolves: Any) -> None:
    resolves("::", "0.0.0.0")
    with listening_at("several.test") as listening:
        assert _addresses(listening) == ["0.0.0.0", "::"]


def test_one_address_that_others_reach_is_enough_to_need_clients(resolves: Any) -> None:
    resolves("127.0.0.1", "0.0.0.0")
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(listening_at("127.0.0.1"))
        every = stack.enter_context(listening_at("0.0.0.0"))
        assert are_loopback(own)
        assert not are_loopback([*own, *every])
        with pytest.raises(SettingsError):
            require_clients([*own, *every], Settings(host="several.test"), has_clients=False)


def test_an_address_that_is_not_here_is_left_out(resolves: Any, caplog: pytest.LogCaptureFixture) -> None:
    resolves("198.51.100.1", "127.0.0.1")
    with listening_at("several.test") as listening:
        assert _addresses(listening) == ["127.0.0.1"]
    assert "198.51.100.1 is not listened on" in caplog.text
    resolves("198.51.100.1", "203.0.113.1")
    with pytest.raises(SettingsError, match=r"Cannot listen on several\.test:0"):
        listen("several.test", 0)


def test_a_port_that_is_taken_at_one_of_them_is_refused(resolves: Any) -> None:
    resolves("127.0.0.1", "127.0.0.2")
    with listening_at("127.0.0.2") as taken:
        port = taken[0].getsockname()[1]
        with pytest.raises(PortInUse, match=rf"several\.test:{port} is in use already"):
            listen("several.test", port)
    with listening_at("several.test", port):
        pass


@pytest.mark.parametrize("tls", [False, True])
async def test_a_server_answers_at_all_of_them(resolves: Any, tmp_path: Path, tls: bool) -> None:
    other = "::1" if _has_ipv6() else "127.0.0.2"
    resolves("127.0.0.1", other)
    chosen: dict[str, Any] = {"host": "several.test", "port": 0, "train": False, "data_dir": str(tmp_path / "data")}
    connect: Any = http.client.HTTPConnection
    if tls:
        certificate = Authority(tmp_path).issue("localhost")
        chosen |= {"tls_cert": str(certificate.cert), "tls_key": str(certificate.key)}
        connect = functools.partial(http.client.HTTPSConnection, context=ssl._create_unverified_context())
    async with Server([], Settings(**chosen)) as server:
        port = int(server.url.rpartition(":")[2])
        for host in ("127.0.0.1", other):
            assert await asyncio.to_thread(_status, connect(host, port, timeout=20)) == 200


def _status(connection: http.client.HTTPConnection) -> int:
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        return connection.getresponse().status
