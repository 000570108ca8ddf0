"""Bytes into a socket: good requests in every piece that they can come in, and what is nearly a good one. Row R06.

What is made up comes from a seed, which a failure prints with the shortest bytes that fail; ``MODELSERVE_FUZZ_SEED``
repeats it. By night there is more time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from itertools import cycle

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.confined import confined
from tests.faults.doors import Door, End, Heard, Plan, batched, play
from tests.faults.fuzzed import MODEL, Good, good_requests
from tests.faults.mutations import Mutations
from tests.faults.wire import responses
from tests.running import Running, running

SEED = int(os.environ.get("MODELSERVE_FUZZ_SEED", "0")) or time.time_ns() % 1_000_000

# By day and by night.
TIMES_S = [6, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(1500)])]

# What a server may say of itself where a request asks for more than there is.
DOCUMENTED = {
    501: {"not_implemented"},
    503: {"queue_full", "not_ready", "no_space", "store_unavailable"},
    504: {"predict_timeout", "queue_timeout"},
}

# Jobs that mutations of requests for them have made are no news; neither is a training that waits for its turn.
LIMITS = ("--max-queued-jobs", "5", "--header-timeout-s", "5", "--body-timeout-s", "5", "--failed-logins", "0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("raw")
    env = {"XDG_RUNTIME_DIR": str(folder / "tmp")}
    with running([MODEL, *LIMITS], folder=folder, env=env, within=confined(folder)) as server:
        yield server


@pytest.fixture(scope="module")
def good(server: Running) -> list[Good]:
    return good_requests(server)


@pytest.fixture(autouse=True)
def watched(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check the aftermath of each test that uses the server."""
    if "server" not in request.fixturenames:
        yield
        return
    server: Running = request.getfixturevalue("server")
    request.getfixturevalue("good")
    with aftermath(server, "fuzzed", jobs=True):
        yield
    assert "Traceback" not in server.log


def test_a_request_is_the_same_wherever_it_is_cut_in_two(server: Running, good: list[Good]) -> None:
    """R06."""
    cuts = [(each, Plan([each.data[:place], each.data[place:]])) for each, place in places(good)]
    expect_each(server, cuts)


def places(good: list[Good]) -> Iterator[tuple[Good, int]]:
    """Yield each place in each request; those of the requests without a body, which are alike, only once in all."""
    for number, each in enumerate(good):
        first, step = (1, 1) if each.data.startswith(b"POST") else (1 + number % 20, 20)
        yield from ((each, place) for place in range(first, len(each.data), step))


def test_a_request_may_come_byte_by_byte(server: Running, good: list[Good]) -> None:
    """R06."""
    expect_each(server, [(each, Plan([bytes([byte]) for byte in each.data])) for each in good])


def expect_each(server: Running, sent: Sequence[tuple[Good, Plan]]) -> None:
    """Send each plan, and assert that there is the one response that the whole request has."""
    for some in batched(sent):
        for (each, plan), heard in zip(some, heard_by(Door(server.port), [plan for _, plan in some]), strict=True):
            statuses = [response.status for response in responses(heard.received)]
            assert (statuses, heard.is_ended) == ([each.status], True), (plan, heard)


def heard_by(door: Door, plans: Sequence[Plan]) -> list[Heard]:
    return asyncio.run(play(door, plans))


def test_a_request_that_ends_too_early_is_never_answered_as_if_it_were_whole(server: Running, good: list[Good]) -> None:
    """R06: by half a close, a close and a reset, at every place."""
    ends = cycle([End.HALF, End.HALF, End.CLOSED, End.RESET])
    plans = [Plan([each.data[:place]], next(ends)) for each, place in places(good)]
    for some in batched(plans):
        for plan, heard in zip(some, heard_by(Door(server.port), some), strict=True):
            assert heard.is_ended, plan
            found = responses(heard.received)
            assert len(found) <= 1, (plan, found)
            assert all(400 <= response.status < 500 for response in found), (plan, found)


def test_requests_behind_each_other_are_answered_in_their_order(server: Running, good: list[Good]) -> None:
    """R06: each once, with its own id, however they are cut."""
    mutations = Mutations(SEED, [each.data for each in good])
    for _ in range(10):
        plans, expected = [], []
        for _ in range(20):
            chosen = [mutations.choose(good) for _ in range(4)]
            named = [named_request(each, f"n{place}", is_last=place == 3) for place, each in enumerate(chosen)]
            plans.append(Plan(mutations.cut(b"".join(named))))
            expected.append([(each.status, f"n{place}") for place, each in enumerate(chosen)])
        for plan, heard, wanted in zip(plans, heard_by(Door(server.port), plans), expected, strict=True):
            found = [(response.status, response.headers["x-request-id"]) for response in responses(heard.received)]
            assert found == wanted, f"seed {SEED}: {plan}"


def named_request(each: Good, name: str, *, is_last: bool) -> bytes:
    """Return a request with an id; the connection is to stay open behind all but the last."""
    data = each.data if is_last else each.data.replace(b"Connection: close\r\n", b"", 1)
    return data.replace(b"\r\n", b"\r\nX-Request-ID: " + name.encode() + b"\r\n", 1)


@pytest.mark.parametrize("version", ["", " HTTP/0.9", " HTTP/1.2", " HTTP/2.0", " HTTP/3.0", " http/1.1", " HTTP/1.10"])
def test_a_version_that_is_not_spoken_is_refused_in_one_that_is(server: Running, version: str) -> None:
    """R06."""
    request = f"GET /v2/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    (path,) = server.temp.rglob("*.sock")
    for door in (Door(server.port), Door(path=path)):
        (heard,) = heard_by(door, [Plan([request])])
        assert [response.status for response in responses(heard.received)] == [400], door
