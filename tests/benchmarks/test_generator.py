"""The load generator of our own against the real bare handler, and against one that refuses."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks import bare
from benchmarks.cases import small
from benchmarks.generator import Generator, _load
from benchmarks.load import Request, percentile
from benchmarks.servers import started


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """The address of a server that answers 503 to every request."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/predict", refuse)
    async with TestServer(app) as server:
        yield str(server.make_url("/predict"))


def test_it_counts_what_the_bare_handler_answers_from_a_process_of_its_own() -> None:
    case = small().cases[0]
    with started(case) as server:
        outcome = Generator([min(os.sched_getaffinity(0))]).run(server.request, connections=3, duration_s=1)
        process = server.process
    assert outcome.errors == 0
    assert outcome.requests > 3
    assert 1 <= outcome.duration_s < 3
    assert 0 < outcome.p50_ms <= outcome.p99_ms
    assert not process.is_running()


async def test_an_answer_other_than_2xx_is_an_error(refusing: str) -> None:
    tally = await _load(Request(refusing, b"{}"), 2, 0.1)
    assert tally.errors == len(tally.latencies) > 0


async def test_a_server_that_closes_the_connection_is_an_error_on_each() -> None:
    async def close(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    app = web.Application()
    app.router.add_post("/predict", close)
    async with TestServer(app) as server:
        tally = await _load(Request(str(server.make_url("/predict")), b"{}"), 2, 0.1)
    assert tally.errors == 2


async def test_the_body_is_sent_whole_and_large_answers_are_read_whole() -> None:
    seen: set[bytes] = set()

    async def echo(request: web.Request) -> web.Response:
        seen.add(await request.read())
        return web.Response(body=b"a" * 1_000_000)

    app = web.Application()
    app.router.add_post("/predict", echo)
    body = b'{"x": "%s"}' % (b"x" * 5000)
    async with TestServer(app) as server:
        tally = await _load(Request(str(server.make_url("/predict")), body), 1, 0.1)
    assert seen == {body}
    assert tally.errors == 0
    assert len(tally.latencies) > 0


def test_percentiles_are_values_that_were_measured() -> None:
    ordered = [1.0, 2.0, 3.0, 4.0]
    assert [percentile(ordered, share) for share in (0.0, 0.5, 0.51, 0.99, 1.0)] == [1.0, 2.0, 3.0, 4.0, 4.0]
    assert percentile([], 0.5) == 0.0


def test_a_wrong_answer_is_told_before_anything_is_measured() -> None:
    case = replace(small().cases[0], right=lambda answer: False)
    with pytest.raises(Exception, match=r"bare gave a wrong answer: 200 .*y") as caught, started(case):
        pass
    assert bare.ANSWER.decode() in str(caught.value)
