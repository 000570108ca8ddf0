"""The server's end of a channel, over a real socket pair whose other end a test plays."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from modelserve import frames
from modelserve.messages import Answer, Answers, Call, Calls, Failed, Part, Stage, decode_worker_bound
from modelserve.runtime import channel
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.process import LocalBackend
from tests.runtime.workers import Heard, spec, until

MEGABYTE = 1024 * 1024


class Ends:
    """A channel with a listener that remembers, and the socket of the worker that a test plays."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.stages: list[str] = []
        self.closed = 0

    async def open(self) -> Ends:
        ours, self.theirs = channel.pair()
        replica = LocalBackend("").replica(spec())
        self.channel = channel.Channel(replica, self.heard, self.stages.append, self._count)
        await asyncio.get_running_loop().create_unix_connection(lambda: self.channel, sock=ours)
        return self

    def _count(self) -> None:
        self.closed += 1

    def say(self, *messages: Stage | Failed | Answers | Part) -> None:
        for message in messages:
            self.theirs.sendall(b"".join(frames.encode(message)))

    async def close(self) -> None:
        self.channel.abort()
        self.theirs.close()
        await until(lambda: self.channel.closed)


def told(story: Callable[[Ends], Awaitable[None]]) -> None:
    """Run a story on the loop that the server runs on, too."""

    async def whole() -> None:
        ends = await Ends().open()
        try:
            await story(ends)
        finally:
            await ends.close()

    asyncio.run(whole())
    uvloop.run(whole())


def test_messages_of_each_kind_reach_who_waits_for_them() -> None:
    async def story(ends: Ends) -> None:
        ends.say(Stage("load"), Stage("warm"))
        await until(lambda: ends.stages == ["load", "warm"])
        ends.say(Failed("warm", "no", ""), Answers([Answer(1, body=b"x")]), Part(1, b"y"))
        await until(lambda: ends.heard.parts)
        assert ends.heard.answers[1].body == b"x"
        with pytest.raises(StartFailed, match="no"):
            await ends.channel.started

    told(story)


def test_the_first_frame_of_a_turn_goes_out_at_once_and_the_rest_together_in_order() -> None:
    async def story(ends: Ends) -> None:
        for number in range(20):
            ends.channel.send(Calls([Call(id=number)]))
        assert _calls_read(ends.theirs) == [0]
        await until(lambda: not _nothing_yet(ends.theirs))
        assert _calls_read(ends.theirs) == list(range(1, 20))
        ends.channel.send(Calls([Call(id=20)]))
        ends.channel.send(Calls([Call(id=21)]))
        ends.channel.finish()
        await until(lambda: not _nothing_yet(ends.theirs))
        assert _calls_read(ends.theirs) == [20, 21]

    told(story)


def test_a_large_body_is_copied_neither_when_it_is_sent_nor_when_it_is_received() -> None:
    body = os.urandom(8 * MEGABYTE)
    answer = Answers([Answer(1, body=os.urandom(4 * MEGABYTE))])

    async def story() -> None:
        ends = await Ends().open()
        got = memoryview(bytearray(len(body) + 200))
        reader = threading.Thread(target=_read, args=(ends.theirs, got, len(body)))
        reader.start()
        tracemalloc.start()
        try:
            ends.channel.send(Calls([Call(id=1, body=body)]))
            await until(lambda: not reader.is_alive())
            sent_peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            writer = threading.Thread(target=ends.theirs.sendmsg, args=(frames.encode(answer),))
            writer.start()
            await until(lambda: ends.heard.answers)
            received_peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        writer.join()
        assert body in got.tobytes()
        assert ends.heard.answers[1].body == answer.answers[0].body
        assert sent_peak < MEGABYTE
        assert received_peak < 5 * MEGABYTE, "the body itself and no copy of it"
        await ends.close()

    uvloop.run(story())


def test_bytes_that_are_no_frame_close_the_channel() -> None:
    async def story(ends: Ends) -> None:
        ends.theirs.sendall(b"\xff" * 64)
        await until(lambda: ends.closed == 1)
        ends.channel.send(Calls([Call(id=1)]))

    told(story)


def test_a_channel_that_the_worker_closes_says_so_once_and_takes_nothing_any_more() -> None:
    async def story(ends: Ends) -> None:
        ends.theirs.close()
        await until(lambda: ends.closed)
        ends.channel.send(Calls([Call(id=1)]))
        ends.channel.finish()
        ends.channel.abort()
        await asyncio.sleep(0)
        assert ends.closed == 1

    told(story)


def test_after_its_finish_a_channel_takes_nothing_and_is_still_read() -> None:
    async def story(ends: Ends) -> None:
        ends.channel.finish()
        ends.channel.send(Calls([Call(id=1)]))
        assert await asyncio.to_thread(ends.theirs.recv, 1) == b""
        ends.say(Answers([Answer(1)]))
        await until(lambda: ends.heard.answers)

    told(story)


def _read(end: socket.socket, into: memoryview, at_least: int) -> None:
    have = 0
    while have < at_least:
        have += end.recv_into(into[have:])


def _calls_read(end: socket.socket) -> list[int]:
    """Return the ids of the calls that one system call reads."""
    receiver = frames.Receiver(decode_worker_bound)
    messages = receiver.received(end.recv_into(receiver.buffer(), 0, socket.MSG_DONTWAIT))
    return [message.calls[0].id for message in messages if isinstance(message, Calls)]


def _nothing_yet(end: socket.socket) -> bool:
    try:
        return not end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
