"""Whose forwarded headers are believed, and what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from modelserve.web.proxies import PROXIES, Proxies, client_address


class Echo:
    """A server on 127.0.0.1 that says what it takes a request for."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, trusted: str, headers: dict[str, str]) -> Any:
        async with self._session.get(self._url, params={"trusted": trusted}, headers=headers) as response:
            return await response.json()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async def tell(request: web.Request) -> web.Response:
        proxies = Proxies(filter(None, request.query["trusted"].split(",")))
        told = {
            "address": proxies.client_address(request),
            "host": proxies.host(request),
            "scheme": proxies.scheme(request),
            "prefix": proxies.prefix(request),
            "app": client_address(request),
        }
        return web.json_response(told)

    app = web.Application()
    app[PROXIES] = Proxies()
    app.add_routes([web.get("/", tell)])
    async with TestServer(app, host="127.0.0.1") as server, ClientSession() as session:
        yield Echo(str(server.make_url("/")), session)


FORWARDED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "models.example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/lab/",
}


async def test_nobody_is_believed_unless_the_operator_says_so(echo: Echo) -> None:
    for trusted in ("", "10.0.0.0/8", "203.0.113.9"):
        told = await echo.ask(trusted, FORWARDED)
        assert (told["address"], told["scheme"], told["prefix"]) == ("127.0.0.1", "http", "")
        assert told["host"].startswith("127.0.0.1:")


async def test_a_trusted_proxy_is_believed(echo: Echo) -> None:
    told = await echo.ask("127.0.0.0/8", FORWARDED)
    assert (told["address"], told["scheme"], told["prefix"]) == ("203.0.113.9", "https", "/lab")
    assert told["host"] == "models.example.org"
    assert told["app"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("198.51.100.1, nonsense, 10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", "127.0.0.1"),
        ("<script>", "127.0.0.1"),
    ],
)
async def test_the_last_address_that_is_no_proxys_counts(echo: Echo, forwarded: str, address: str) -> None:
    """K05: a client cannot choose the address that its failures are counted for."""
    told = await echo.ask("127.0.0.1,10.0.0.0/8", {"X-Forwarded-For": forwarded})
    assert told["address"] == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/a/../b"),
        ("X-Forwarded-Prefix", '/"><script>'),
        ("X-Forwarded-Prefix", "lab"),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "evil.example/x"),
    ],
)
async def test_what_is_malformed_is_not_read(echo: Echo, name: str, value: str) -> None:
    told = await echo.ask("127.0.0.1", {name: value})
    assert (told["scheme"], told["prefix"]) == ("http", "")
    assert told["host"].startswith("127.0.0.1:")
