"""What a server posts reaches the hosts that its operator allows, and none through them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock

import pytest

from modelserve.settings import Settings
from modelserve.web.names import Names
from modelserve.web.outward import Outward, Unanswered, may_be_reached
from tests.authority import Authority
from tests.web.receiver import DROP, ENDLESS, HANG, receiving

# Long enough for an answer on a busy machine.
ANSWER_S = 20.0

CLOSED = "it has closed the connection before it has answered"

PUBLIC, NAME = "93.184.215.14", "hooks.example.org"


@contextlib.asynccontextmanager
async def outward(*hosts: str, timeout_s: float = ANSWER_S) -> AsyncIterator[Outward]:
    yield Outward(Settings(callback_hosts=",".join(hosts)), timeout_s)


@pytest.mark.parametrize(
    ("address", "host", "allowed"),
    [
        (PUBLIC, NAME, [NAME]),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", NAME, [NAME]),
        (f"::ffff:{PUBLIC}", NAME, [NAME]),
        ("10.0.0.7", NAME, [NAME, "10.0.0.7"]),
        ("10.0.0.7", NAME, [NAME, "10.0.0.7:443"]),
        ("fd00::7", NAME, [NAME, "[fd00::7]"]),
        ("169.254.169.254", NAME, [NAME, "169.254.169.254"]),
        ("10.0.0.7", "hooks.internal", ["hooks.internal"]),
        ("100.64.0.7", "hooks.svc.cluster.local", ["hooks.svc.cluster.local"]),
        ("127.0.0.1", "localhost", ["localhost"]),
        ("::1", "localhost", ["localhost"]),
        ("fd00::7", "hooks", ["hooks"]),
    ],
)
def test_a_public_address_may_be_reached_and_another_where_the_operator_says_so(
    address: str, host: str, allowed: list[str]
) -> None:
    """M01."""
    assert may_be_reached(address, host, 443, allowed)


@pytest.mark.parametrize(
    ("address", "host", "allowed"),
    [
        ("127.0.0.1", NAME, [NAME]),
        ("10.0.0.7", NAME, [NAME]),
        ("10.0.0.7", NAME, [NAME, "10.0.0.7:8080"]),
        ("10.0.0.7", NAME, [NAME, "10.0.0.70"]),
        ("192.168.1.1", NAME, [NAME]),
        ("100.64.0.7", NAME, [NAME]),
        ("169.254.169.254", NAME, [NAME]),
        ("169.254.169.254", "metadata.google.internal", ["metadata.google.internal"]),
        ("0.0.0.0", "localhost", ["localhost"]),
        ("224.0.0.1", NAME, [NAME]),
        ("240.0.0.1", "hooks", ["hooks"]),
        ("::1", NAME, [NAME]),
        ("::", "localhost", ["localhost"]),
        ("fd00::7", NAME, [NAME]),
        ("fe80::1%eth0", "hooks", ["hooks"]),
        ("::ffff:10.0.0.7", NAME, [NAME]),
        ("::ffff:169.254.169.254", "hooks", ["hooks"]),
        ("2002:0a00:0007::1", NAME, [NAME]),
        ("64:ff9b::a00:7", NAME, [NAME]),
    ],
)
def test_any_other_address_may_not(address: str, host: str, allowed: list[str]) -> None:
    """M01."""
    assert not may_be_reached(address, host, 443, allowed)


async def test_a_name_that_leads_to_an_address_that_is_not_allowed_is_never_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M01: the network's answer stands in for a name server's; it is asked for once for each post."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *rest: object, **options: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with receiving() as receiver:
        name = f"{NAME}:{receiver.port}"
        async with outward(name) as client:
            with pytest.raises(Unanswered, match="an address that is not public"):
                await client.post(f"http://{name}/", b"{}", {})
        assert not receiver.messages
        async with outward(name, receiver.host) as client:
            assert await client.post(f"http://{name}/", b"{}", {}) == 204
    assert asked == [NAME, NAME]


async def test_a_host_of_a_private_network_is_reached_by_its_name() -> None:
    with receiving() as receiver:
        host = f"localhost:{receiver.port}"
        async with outward(host) as client:
            assert await client.post(f"http://{host}?a=%2F#b", b"{}", {"X-Own": "1"}) == 204
        (message,) = receiver.messages
    assert message.path == "/?a=%2F"
    assert message.headers["X-Own"] == "1"
    assert message.headers["User-Agent"] == "modelserve"
    assert message.headers["Host"] == host


async def test_a_host_that_is_not_allowed_any_more_is_not_asked() -> None:
    with receiving() as receiver:
        async with outward("hooks.example.org") as client:
            with pytest.raises(Unanswered, match="callback_hosts does not allow it any more"):
                await client.post(receiver.url, b"{}", {})
        assert not receiver.messages


async def test_a_redirect_is_not_followed() -> None:
    """M01."""
    with receiving() as neighbour, receiving(307, location=neighbour.url) as receiver:
        async with outward(receiver.host, neighbour.host) as client:
            assert await client.post(receiver.url, b"{}", {}) == 307
        assert not neighbour.messages


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        async with outward(receiver.host) as client:
            assert await client.post(receiver.url, b"{}", {}) == 204
        assert not proxy.messages


async def test_an_endless_answer_is_not_read() -> None:
    with receiving(ENDLESS) as receiver:
        async with outward(receiver.host) as client:
            assert await client.post(receiver.url, b"{}", {}) == 200


@pytest.mark.parametrize(
    ("answer", "said"),
    [(HANG, "no answer within 0.5 s"), (DROP, "it has closed the connection before it has answered")],
)
async def test_a_host_that_does_not_answer_has_not_taken_it(answer: int, said: str) -> None:
    with receiving(answer) as receiver:
        async with outward(receiver.host, timeout_s=0.5 if answer == HANG else ANSWER_S) as client:
            with pytest.raises(Unanswered) as caught:
                await client.post(receiver.url, b"{}", {})
    assert str(caught.value) == said


INTERIM, LINE = b"HTTP/1.1 103 Early Hints\r\n\r\n", b"X-Header: value\r\n"


@contextlib.asynccontextmanager
async def endless(begin: bytes, again: bytes) -> AsyncIterator[str]:
    """Have a receiver that answers without end, as quickly as is read; give its host."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(begin)
            while True:
                writer.write(again)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("begin", "again", "said"),
    [
        (b"", INTERIM * 2000, "more than 256 lines"),
        (b"HTTP/1.1 200 OK\r\n", LINE * 2000, "more than 256 lines"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536, "a line of the head of its answer is too long"),
        (b"\0", bytes(65536), "a line of the head of its answer is too long"),
        (b"SSH-2.0\r\n", LINE, "is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", bytes(65536), ""),
    ],
    ids=["interim", "lines", "line", "zeros", "other", "body"],
)
async def test_an_answer_without_end_holds_up_nothing_else(begin: bytes, again: bytes, said: str) -> None:
    """H22: of interim answers a general client reads thousands at a time."""
    async with endless(begin, again) as host, outward(host) as client:
        if said:
            with pytest.raises(Unanswered, match=said):
                await client.post(f"http://{host}/", b"{}", {})
        else:
            assert await client.post(f"http://{host}/", b"{}", {}) == 200


async def test_a_head_that_drips_takes_no_longer_than_any_other() -> None:
    """H22."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INTERIM + b"HTTP/1.1 200 OK\r\n")
        try:
            while not reader.at_eof():
                writer.write(b"X: y\r\n")
                with contextlib.suppress(TimeoutError, ConnectionError):
                    await asyncio.wait_for(reader.read(100), 0.05)
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with outward(host, timeout_s=0.5) as client:
            with pytest.raises(Unanswered, match="no answer within"):
                await client.post(f"http://{host}/", b"{}", {})


async def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """H22: connections to the first are neither taken nor refused."""
    with contextlib.closing(socket.socket()) as deaf, receiving() as receiver:
        deaf.bind(("127.0.0.2", receiver.port))
        deaf.listen(0)
        full = [socket.socket() for _ in range(4)]
        for each in full:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        monkeypatch.setattr(Names, "addresses", mock.AsyncMock(return_value=["127.0.0.2", "127.0.0.1"]))
        async with outward(f"localhost:{receiver.port}", timeout_s=3.0) as client:
            assert await client.post(f"http://localhost:{receiver.port}/", b"{}", {}) == 204
        for each in full:
            each.close()


async def test_a_port_where_nobody_listens_is_said() -> None:
    with receiving() as receiver:
        pass
    async with outward(receiver.host) as client:
        with pytest.raises(Unanswered, match="Errno 111") as caught:
            await client.post(receiver.url, b"{}", {})
    assert "geheim" not in str(caught.value)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with receiving(tls=Authority(tmp_path).issue("127.0.0.1")) as receiver:
        async with outward(receiver.host) as client:
            with pytest.raises(Unanswered, match="certificate verify failed") as caught:
                await client.post(receiver.url, b"{}", {})
        assert not receiver.messages
    assert "geheim" not in str(caught.value)
