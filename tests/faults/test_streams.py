"""Streamed answers: their forms, clients that leave or do not read, models that fail on the way. Rows C09 and E07."""

from __future__ import annotations

import json
import time
from typing import Any

import psutil
import pytest

from tests.faults.aftermath import MIB
from tests.faults.conftest import Chaos, Watched
from tests.faults.raw import HEAD_END, begin, read_all, read_until
from tests.models.installed import side_log
from tests.running import eventually

EVENTS, LINES, JSONL = "text/event-stream", "application/x-ndjson", "application/jsonl"
OCTETS, TEXT = "application/octet-stream", "text/plain"

# What a chunked answer ends with, where it is whole.
END = b"0\r\n\r\n"

MODELS = pytest.mark.parametrize("model", ["chaos-stream", "chaos-async-stream"])

# A second is allowed; a busy machine gets three.
SOON_S = 3.0


def items_given(chaos: Chaos, text: str = "") -> int:
    """Return how many items the model has been asked for."""
    return len([line for line in side_log(chaos.side_log, "item") if line["text"] == text])


def closings(chaos: Chaos) -> list[tuple[str, float]]:
    """Return how each generator has ended, and when."""
    return [(line["how"], line["monotonic_s"]) for line in side_log(chaos.side_log, "closed")]


@MODELS
def test_an_answer_in_parts_takes_the_form_that_the_client_accepts(watched: Watched, model: str) -> None:
    """C09, where all is well: events, JSON lines, and chunks as they are."""
    server = watched(model).server
    dicts, octets, texts = {"items": 2}, {"items": 3, "kind": "bytes", "size": 2}, {"kind": "text", "size": 2}
    lines = b'{"number":0,"text":""}\n{"number":1,"text":""}\n'
    for arguments, accept, kind, body in [
        (dicts, "*/*", EVENTS, b'data: {"number":0,"text":""}\n\ndata: {"number":1,"text":""}\n\n'),
        (dicts, LINES, LINES, lines),
        (dicts, JSONL, JSONL, lines),
        (dicts, f"{LINES};q=0.5, {JSONL}", JSONL, lines),
        (octets, "*/*", OCTETS, b"\x00\x00\x01\x01\x02\x02"),
        (octets, OCTETS, OCTETS, b"\x00\x00\x01\x01\x02\x02"),
        (texts, TEXT, f"{TEXT}; charset=utf-8", b"xxxxxx"),
        ({"items": 0}, LINES, LINES, b""),
    ]:
        reply = server.predict(model, arguments, Accept=accept)
        assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, kind, body)


@MODELS
def test_each_part_is_sent_as_soon_as_it_is_there(watched: Watched, model: str) -> None:
    """C09, where all is well."""
    chaos = watched(model)
    with begin(chaos.server, model, {"items": 100, "delay_s": 0.1}) as connection:
        received = read_until(connection, b"data: ")
        assert b"data: [" not in received
        assert items_given(chaos) < 50
    eventually(lambda: closings(chaos))


@MODELS
@pytest.mark.parametrize(
    ("failure", "code", "logged"),
    [("raise", "model_error", "RuntimeError"), ("exit3", "worker_died", "exited with status 3")],
)
def test_a_failure_in_mid_stream_is_an_error_event_and_an_unclean_end(
    watched: Watched, model: str, failure: str, code: str, logged: str
) -> None:
    """C09."""
    chaos = watched(model)
    with begin(chaos.server, model, {"items": 9, "fail_at": 3, "failure": failure}) as connection:
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert [f'"number":{number},'.encode() in received for number in range(4)] == [True, True, True, False]
    assert not received.endswith(END), "no client takes it for a whole answer"
    event = received.partition(b"event: error\ndata: ")[2].partition(b"\n\n")[0]
    assert json.loads(event)["code"] == code
    assert b"hunter2" not in received
    eventually(lambda: logged in chaos.server.log)


@MODELS
def test_a_failure_in_mid_stream_of_lines_is_an_unclean_end(watched: Watched, model: str) -> None:
    """C09: what is no event has no place for an error, so the missing end has to tell."""
    chaos = watched(model)
    with begin(chaos.server, model, {"fail_at": 1}, headers={"Accept": LINES}) as connection:
        received = read_all(connection)
    assert b'{"number":0,"text":""}\n' in received
    assert b"error" not in received.partition(HEAD_END)[2]
    assert not received.endswith(END)


@MODELS
def test_a_failure_before_the_first_part_is_an_ordinary_answer(watched: Watched, model: str) -> None:
    """C09."""
    server = watched(model).server
    for failure, status, code in [("raise", 500, "model_error"), ("bad_request", 400, "bad_request")]:
        reply = server.predict(model, {"fail_at": 0, "failure": failure})
        assert (reply.status, reply.json()["code"]) == (status, code)


@MODELS
def test_a_stream_that_stands_still_is_ended_in_time(watched: Watched, model: str) -> None:
    """C09, A09: the time counts from one part to the next, so one that moves may take as long as it likes."""
    chaos = watched(model, "--predict-timeout-s", "1")
    assert chaos.server.predict(model, {"items": 15, "delay_s": 0.1}).status == 200
    with begin(chaos.server, model, {"items": 9, "fail_at": 2, "failure": "spin_c"}) as connection:
        received = read_all(connection)
    assert b'"number":1,' in received
    assert b"predict_timeout" in received
    assert not received.endswith(END)


@MODELS
def test_a_stream_of_empty_parts_stands_still(watched: Watched, model: str) -> None:
    """C09, A09: no client sees a part of no bytes, nor could it be found out that it has left."""
    chaos = watched(model, "--predict-timeout-s", "1")
    empty = {"kind": "bytes", "size": 0, "delay_s": 0.01}
    reply = chaos.server.predict(model, {**empty, "items": 30})
    assert (reply.status, reply.body) == (200, b"")
    with begin(chaos.server, model, {**empty, "items": 1500}) as connection:
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert not received.endswith(END)
    assert chaos.server.predict(model, {"items": 1}).status == 200


@MODELS
def test_when_a_client_leaves_in_mid_stream_the_generator_is_closed(watched: Watched, model: str) -> None:
    """E07."""
    chaos = watched(model)
    (worker,) = chaos.server.workers()
    with begin(chaos.server, model, {"items": 10_000, "delay_s": 0.05}) as connection:
        read_until(connection, b'"number":2,')
    left = time.monotonic()
    ((how, closed),) = eventually(lambda: closings(chaos), within_s=20)
    assert how in ("closed", "CancelledError")
    assert closed - left < SOON_S
    assert chaos.server.workers() == [worker], "it was told, not killed"


def test_when_a_client_leaves_a_generator_that_will_not_close_the_next_is_served_all_the_same(watched: Watched) -> None:
    """E07."""
    chaos = watched("chaos-stream")
    (worker,) = chaos.server.workers()
    with begin(chaos.server, "chaos-stream", {"items": 10_000, "delay_s": 0.05, "deaf": True}) as connection:
        read_until(connection, b'"number":2,')
    assert chaos.server.predict("chaos-stream", {}).status == 200
    assert chaos.server.workers() == [worker]


def settled(chaos: Chaos, text: str) -> int:
    """Return how many items the model has given, once it gives no more of them for a second."""
    seen: list[Any] = [0, time.monotonic()]

    def stands_still() -> bool:
        given = items_given(chaos, text)
        if given != seen[0]:
            seen[:] = given, time.monotonic()
        return given > 0 and time.monotonic() - seen[1] > 1

    eventually(stands_still, within_s=30)
    return items_given(chaos, text)


@MODELS
def test_a_client_that_does_not_read_holds_up_its_own_answer_and_no_memory(watched: Watched, model: str) -> None:
    """E07: a few parts wait for it, and when it reads on it gets every byte."""
    chaos = watched(model)
    rss = psutil.Process(chaos.server.process.pid).memory_info().rss
    large = {"items": 150, "kind": "bytes", "size": 200_000, "text": "slow"}
    with begin(chaos.server, model, large, headers={"Connection": "close"}, receive_bytes=1 << 16) as connection:
        assert settled(chaos, "slow") < 75
        assert psutil.Process(chaos.server.process.pid).memory_info().rss < rss + 20 * MIB
        if model == "chaos-async-stream":
            assert chaos.server.predict(model, {"items": 50}).status == 200, "others share the worker"
        received = read_all(connection)
    assert received.endswith(END)
    assert sum(received.count(bytes([number]) * 200_000) for number in range(150)) == 150


@MODELS
def test_a_client_that_does_not_read_large_parts_holds_few_of_them(watched: Watched, model: str) -> None:
    """E07 and X5: what waits for it is bounded in bytes, and not only in parts."""
    chaos = watched(model, more_bytes=64 * MIB)
    large = {"items": 40, "kind": "bytes", "size": 4 * MIB, "text": "large"}
    with begin(chaos.server, model, large, headers={"Connection": "close"}, receive_bytes=1 << 16):
        assert settled(chaos, "large") <= 8


def test_many_streams_at_a_time_share_the_worker_of_an_async_model(watched: Watched) -> None:
    """E07, where nobody leaves: each client gets its own items, in order."""
    chaos = watched("chaos-async-stream")
    calls = [{"items": 20, "delay_s": 0.02, "text": str(number)} for number in range(20)]
    futures = [chaos.server.predict_soon("chaos-async-stream", call) for call in calls]
    for number, future in enumerate(futures):
        expected = b"".join(b'data: {"number":%d,"text":"%d"}\n\n' % (item, number) for item in range(20))
        assert future.result(30).body == expected
    begun = [line["monotonic_s"] for line in side_log(chaos.side_log, "predict")]
    ended = [line["monotonic_s"] for line in side_log(chaos.side_log, "closed")]
    assert max(begun) < min(ended), "all ran at the same time"
