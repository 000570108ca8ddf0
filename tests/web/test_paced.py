"""What a client over TLS does not read waits in Paced, in order, and is told to the writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from modelserve.web.paced import HIGH_BYTES, PIECE_BYTES, Paced


class Loops(asyncio.Transport):
    """The loop's transport: it takes a number of pieces, then says that it is full."""

    def __init__(self) -> None:
        super().__init__({"sslcontext": "a context"})
        self.takes = 2
        self.pieces: list[bytes] = []
        self.calls: list[str] = []
        self.protocol: Any = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))
        if len(self.pieces) == self.takes:
            self.protocol.pause_writing()

    def read_all(self) -> None:
        self.takes = 1_000_000
        self.protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"limits {high} {low}")

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause reading")

    def resume_reading(self) -> None:
        self.calls.append("resume reading")


class Writer(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def pause_writing(self) -> None:
        self.told.append("wait")

    def resume_writing(self) -> None:
        self.told.append("go on")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


def with_paced(story: Callable[[Paced, Loops, Writer], None], then: Callable[[Loops, Writer], None]) -> None:
    async def run() -> None:
        loops, writer = Loops(), Writer()
        paced = Paced(loops, writer)
        paced.begin()
        story(paced, loops, writer)
        await asyncio.sleep(0)
        then(loops, writer)

    asyncio.run(run())


def test_what_is_not_read_waits_in_order_and_is_told() -> None:
    """X5: of the kind."""
    data = bytes(range(256)) * (5 * PIECE_BYTES // 256)

    def story(paced: Paced, loops: Loops, writer: Writer) -> None:
        paced.write(b"")
        paced.write(data)
        paced.write(b"more")
        assert (len(loops.pieces), writer.told) == (2, ["wait"])
        assert paced.get_write_buffer_size() == 3 * PIECE_BYTES + 4
        loops.read_all()

    def then(loops: Loops, writer: Writer) -> None:
        assert b"".join(loops.pieces) == data + b"more"
        assert max(map(len, loops.pieces)) == PIECE_BYTES
        assert writer.told == ["wait", "go on"]

    with_paced(story, then)


@pytest.mark.parametrize("size", [10, 3 * PIECE_BYTES])
def test_it_is_closed_behind_what_waits_and_nothing_is_written_after(size: int) -> None:
    """X5: of the kind."""

    def story(paced: Paced, loops: Loops, writer: Writer) -> None:
        loops.takes = 1
        paced.writelines([b"head", bytes(size)])
        paced.close()
        paced.write(b"late")
        assert paced.is_closing()
        loops.read_all()

    def then(loops: Loops, writer: Writer) -> None:
        assert b"".join(loops.pieces) == b"head" + bytes(size)
        assert loops.calls.count("close") == 1 + (size == 10)

    with_paced(story, then)


def test_nothing_of_it_is_left_when_it_is_aborted_or_lost() -> None:
    """X5: of the kind."""

    def story(paced: Paced, loops: Loops, writer: Writer) -> None:
        paced.write(bytes(9 * PIECE_BYTES))
        paced.abort()
        assert (paced.get_write_buffer_size(), loops.calls[-1]) == (0, "abort")
        paced.connection_lost(None)
        loops.read_all()

    def then(loops: Loops, writer: Writer) -> None:
        assert len(loops.pieces) == 2
        assert writer.told[:2] == ["wait", "lost"]

    with_paced(story, then)


def test_all_else_is_passed_on() -> None:
    def story(paced: Paced, loops: Loops, writer: Writer) -> None:
        paced.pause_reading()
        paced.resume_reading()
        paced.data_received(b"data")
        assert paced.eof_received() is None
        assert (paced.get_extra_info("sslcontext"), paced.can_write_eof()) == ("a context", False)

    def then(loops: Loops, writer: Writer) -> None:
        assert loops.calls == ["limits 1 0", "pause reading", "resume reading"]
        assert writer.told == [b"data", "eof"]

    with_paced(story, then)


@pytest.mark.parametrize(
    ("limits", "most"),
    [({}, HIGH_BYTES), ({"high": 0}, 0), ({"low": 100}, 400), ({"high": 100_000, "low": 5}, 100_000)],
)
def test_the_writer_is_told_above_the_limit_that_is_set(limits: dict[str, int], most: int) -> None:
    def story(paced: Paced, loops: Loops, writer: Writer) -> None:
        loops.takes = 1
        paced.set_write_buffer_limits(**limits)
        paced.write(b"x")
        paced.write(bytes(most))
        assert writer.told == []
        paced.write(b"x")
        assert writer.told == ["wait"]

    with_paced(story, lambda loops, writer: None)
