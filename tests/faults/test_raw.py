"""Bytes into a socket: good requests in every piece that they can come in, and what is nearly a good one. Row R06.

What is made up comes from a seed, which a failure prints with the shortest bytes that fail; ``FUZZ_SEED``
repeats it. By night there is more time.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.confined import confined
from tests.faults.doors import SIDE_BY_SIDE, Door, End, Heard, Plan, batched, play
from tests.faults.fuzzed import MODEL, Good, good_requests
from tests.faults.mutations import SEED, Mutations, shortest
from tests.faults.wire import NotHttp, Response, responses
from tests.running import Running, running

# By day and by night.
TIMES_S = [6, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(1500)])]

# An order that takes its time and is carried out to its end, whoever has left.
RELOADS = re.compile(rb"/reload(?![A-Za-z/])")
NOTHING = re.compile(rb"(?!)")

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


def test_a_whole_request_behind_which_the_client_closes_its_half_is_answered(server: Running, good: list[Good]) -> None:
    """R06."""
    expect_each(server, [(each, Plan([each.data], End.HALF)) for each in good])


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


@pytest.mark.parametrize("time_s", TIMES_S)
def test_what_is_nearly_a_request_is_answered_in_http_or_not_at_all(
    server: Running, good: list[Good], time_s: int
) -> None:
    """R06."""
    fuzz(server, Door(server.port), [each.data for each in good], time_s)


@pytest.mark.parametrize("time_s", [3, pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(300)])])
def test_the_operators_door_is_as_strict(server: Running, time_s: int) -> None:
    """R06."""
    (path,) = server.temp.rglob("*.sock")
    status = b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    reload = b"POST /reload/nosuch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    fuzz(server, Door(path=path), [status, reload], time_s, spared=RELOADS)


def test_the_operators_door_answers_to_its_end_whoever_sends_nothing_more(server: Running) -> None:
    """R06: a reload takes longer than a look at whether the client is still there."""
    (path,) = server.temp.rglob("*.sock")
    request = b"POST /reload/fuzzed HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    (heard,) = heard_by(Door(path=path), [Plan([request], End.HALF)])
    (response,) = responses(heard.received)
    assert [json.loads(line)["step"] for line in response.body.splitlines()] == ["reloading", "reloaded"]


def fuzz(server: Running, door: Door, good: list[bytes], time_s: float, spared: re.Pattern[bytes] = NOTHING) -> None:
    """Send mutations until the time is over; fail with the shortest one that the server does not stand.

    What has ``spared`` in it is not sent.
    """
    mutations, end_s = Mutations(SEED, good), time.monotonic() + time_s
    print(f"FUZZ_SEED={SEED}")  # noqa: T201
    while time.monotonic() < end_s:
        made = [mutations.next() for _ in range(SIDE_BY_SIDE)]
        cut = [mutations.cut(data) for data in made if not spared.search(data)]
        plans = [Plan(pieces, End.HALF if number % 4 else End.RESET) for number, pieces in enumerate(cut)]
        before = len(server.log)
        for plan, heard in zip(plans, heard_by(door, plans), strict=True):
            if wrong := what_is_wrong(plan, heard):
                report(door, plan.sent, wrong, lambda plan, heard: what_is_wrong(plan, heard))
        if "Traceback" in server.log[before:]:
            find_traceback(server, door, plans)


def what_is_wrong(plan: Plan, heard: Heard) -> str:
    """Return what a server may not do with bytes that are no request, "" where it did not."""
    if not heard.is_ended:
        return "neither answered nor closed"
    try:
        found = responses(heard.received, bodiless=b"HEAD " in plan.sent)
    except NotHttp as error:
        return str(error)
    if len(found) > plan.sent.count(b"\n") + 1:
        return f"{len(found)} responses"
    return "".join(f"{each.status} {each.body[:500]!r}" for each in found if not is_documented(each))


def is_documented(response: Response) -> bool:
    return response.status < 500 or response.code in DOCUMENTED.get(response.status, ())


def find_traceback(server: Running, door: Door, plans: Sequence[Plan]) -> None:
    """Fail with the plan after which there is a traceback in the log."""

    def is_logged(plan: Plan, heard: Heard) -> str:
        before = is_logged.before  # type: ignore[attr-defined]
        is_logged.before = len(server.log)  # type: ignore[attr-defined]
        return server.log[before:] if "Traceback" in server.log[before:] else ""

    is_logged.before = len(server.log)  # type: ignore[attr-defined]
    for plan in plans:
        (heard,) = heard_by(door, [plan])
        if wrong := is_logged(plan, heard):
            report(door, plan.sent, wrong, is_logged)
    pytest.fail(
        f"seed {SEED}: one of these leaves a traceback, together with the others: {plans}\n{server.log[-4000:]}"
    )


def report(door: Door, data: bytes, wrong: str, judge: Callable[[Plan, Heard], str]) -> None:
    """Fail with the shortest bytes that are judged to be wrong as these are."""

    async def fails(shorter: bytes) -> bool:
        plan = Plan([shorter], End.HALF)
        (heard,) = await play(door, [plan])
        return bool(judge(plan, heard))

    least = asyncio.run(shortest(data, fails))
    pytest.fail(f"FUZZ_SEED={SEED}: {wrong}\nafter {least!r}\nthe shortest form of {data!r}")
