"""Reads server-sent events: bytes in, in pieces of any size, whole events out. No I/O.

The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Event", "Events"]

# A lone CR ends a line too, but where it is the last byte so far, an LF may follow that belongs to it.
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class Event(NamedTuple):
    """One event: its name, "message" where it has none, its data, whose lines are joined by newlines, and its id.

    The id is what a client that was cut off sends as ``Last-Event-ID``; it holds until an event brings another.
    """

    name: str
    data: str
    id: str


class Events:
    """Takes the bytes of a stream and gives the events that are whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._id = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that end within these bytes."""
        *lines, self._rest = _LINE_END.split(self._rest + data)
        for line in lines:
            if line:
                self._field(line.decode("utf-8", "replace"))
                continue
            if self._data:
                yield Event(self._name or "message", "\n".join(self._data), self._id)
            self._name, self._data = "", []

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id":
            self._id = value
