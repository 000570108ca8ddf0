"""The server's end of a channel, over a real socket pair whose other end a test plays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from modelserve import frames
from modelserve.frames import HEAD_LIMIT_BYTES, START_LIMIT_BYTES
from modelserve.messages import (
    Answer,
    Answers,
    Call,
    Calls,
    Checked,
    Description,
    Failed,
    Metadata,
    Part,
    Ready,
    Scraped,
    Stage,
    decode_worker_bound,
)
from modelserve.runtime import channel
from modelserve.runtime.describing import MOST_JSON_BYTES
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.process import LocalBackend
from tests.runtime.workers import Heard, spec, until

MEGABYTE = 1024 * 1024


def ready(*, max_batch_size: int = 1, max_concurrency: int = 1) -> Ready:
    metadata = Metadata("m", "m", "m")
    return Ready(Description(metadata, max_batch_size=max_batch_size, max_concurrency=max_concurrency))


def described(**said: Any) -> Ready:
    """Return what a worker is ready with that describes its model so."""
    return Ready(Description(Metadata("m", "m", "m"), **said))


def nested(depth: int) -> dict[str, Any]:
    return {"items": nested(depth - 1)} if depth else {}


READY = ready()


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

    def say(self, *messages: Stage | Ready | Failed | Answers | Part | Checked | Scraped) -> None:
        for message in messages:
            self.theirs.sendall(b"".join(frames.encode(message)))

    def say_all(self, messages: list[Any]) -> None:
        """Say it to who may not listen to the end."""
        with contextlib.suppress(ConnectionError):
            self.say(*messages)

    def fail(self, answer: Answer) -> None:
        raise ZeroDivisionError

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
        ends.say(READY, Answers([Answer(1, body=b"x")]), Part(1, b"y"))
        await until(lambda: ends.heard.parts)
        assert ends.heard.answers[1].body == b"x"
        assert await ends.channel.started == READY.description

    told(story)


def test_a_start_that_failed_is_told() -> None:
    async def story(ends: Ends) -> None:
        ends.say(Stage("load"), Failed("load", "no", ""))
        with pytest.raises(StartFailed, match="no"):
            await ends.channel.started

    told(story)


# What takes far more memory once it is taken apart.
MANY = [Answer(1)] * (HEAD_LIMIT_BYTES // 8)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param([Answers([Answer(1)])], "said Answers before it was ready", id="an answer"),
        pytest.param([Part(1, b"x")], "said Part before", id="a part"),
        pytest.param([Checked(Answer(1))], "said Checked before", id="validated"),
        pytest.param([Scraped()], "said Scraped before", id="metrics"),
        pytest.param([Stage("dance")], "said Stage before", id="an unknown stage"),
        pytest.param([Stage("load"), Stage("load")], "said Stage before", id="a stage once more"),
        pytest.param([Failed("dance", "no", "")], "said Failed before", id="failed where nothing is"),
        pytest.param([Part(1, bytes(100_000))], "0 may follow its head", id="a body"),
        pytest.param(
            [Failed("load", "x" * (START_LIMIT_BYTES + 1), "")], f"at most {START_LIMIT_BYTES}", id="too large"
        ),
        pytest.param([READY, Answers(MANY)], f"at most {HEAD_LIMIT_BYTES}", id="too many answers"),
        pytest.param([READY, READY], "said Ready although", id="ready twice"),
        pytest.param([READY, Stage("warm")], "said Stage although", id="a stage when it is ready"),
        pytest.param([READY, Failed("load", "no", "")], "said Failed although", id="failed when it is ready"),
        pytest.param([ready(max_batch_size=0)], "takes 0 calls", id="no batch"),
        pytest.param([ready(max_concurrency=-1)], "takes -1 calls", id="less than no call"),
        pytest.param([described(components={"a": b"x"})], "what is no JSON", id="bytes"),
        pytest.param([described(components={"a": {1: 2}})], "what is no JSON", id="a key that is no text"),
        pytest.param([described(response=nested(300))], "what is no JSON", id="nested"),
        pytest.param([described(definitions={"a": "x" * MOST_JSON_BYTES})], "bytes of JSON", id="much"),
        pytest.param([described(media_types=[])], "no media type", id="no media type"),
        pytest.param([described(media_types=["text/html\r\nA: b"])], "no media type", id="a line feed"),
        pytest.param([described(headers=["a: b"])], "no header has", id="no name of a header"),
        pytest.param([ready(max_concurrency=2**40)], "takes 1099511627776 calls", id="more calls than there are"),
    ],
)
def test_what_no_worker_says_at_that_time_closes_the_channel(said: list[Any], words: str) -> None:
    """X7, Y29."""

    async def story(ends: Ends) -> None:
        sending = asyncio.create_task(asyncio.to_thread(ends.say_all, said))
        await until(lambda: ends.closed == 1)
        assert words in ends.channel.trouble
        await sending

    told(story)


def test_what_its_owner_raises_closes_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    """Y29."""

    async def story(ends: Ends) -> None:
        ends.channel.on_checked = ends.fail
        ends.say(READY, Checked(Answer(1)))
        await until(lambda: ends.closed == 1)
        assert "could not take" in ends.channel.trouble

    told(story)
    assert "ZeroDivisionError" in caplog.text


def test_a_body_is_taken_of_a_worker_that_has_a_call_only() -> None:
    """X7."""

    async def story(ends: Ends) -> None:
        ends.say(READY)
        await ends.channel.started
        ends.say(Answers([Answer(1, body=bytes(100_000))]))
        await until(lambda: ends.heard.answers)
        ends.heard.due_calls = 0
        ends.say(Answers([Answer(1, body=bytes(100_000))]))
        await until(lambda: ends.closed == 1)
        assert "0 may follow its head" in ends.channel.trouble

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
            ends.say(READY)
            await ends.channel.started
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
        ends.say(READY, Answers([Answer(1)]))
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
