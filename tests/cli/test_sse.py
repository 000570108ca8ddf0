"""Server-sent events come out whole, whatever pieces their bytes came in."""

from __future__ import annotations

import pytest

from modelserve.cli.sse import Event, Events

STREAM = (
    ": a comment\n\n"
    "event: status\ndata: {}\n\n"
    "data:one\ndata: two\ndata\nid: 7\n\n"
    "event: nothing\n\n"
    "retry: 10\r\nevent: log\r\ndata:  größe\r\n\r\n"
    "id\rdata: last\r\r\n"
)

EVENTS = [
    Event("status", "{}", ""),
    Event("message", "one\ntwo\n", "7"),
    Event("log", " größe", "7"),
    Event("message", "last", ""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_do_not_depend_on_how_their_bytes_arrive(size: int) -> None:
    data, events = STREAM.encode(), Events()
    found = [event for at in range(0, len(data), size) for event in events.feed(data[at : at + size])]
    assert found == EVENTS


def test_an_event_that_was_cut_off_is_none() -> None:
    assert list(Events().feed(b"data: cut\n")) == []
