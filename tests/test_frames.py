"""Frames: whatever was sent arrives, however the stream is cut, and large bodies are not copied on the way."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.frames import (
    FRAME_LIMIT_BYTES,
    INLINE_BYTES,
    MAX_BODIES,
    RECEIVE_BYTES,
    Bounds,
    FrameError,
    Receiver,
    encode,
)
from modelserve.messages import (
    Answer,
    Answers,
    Call,
    Calls,
    Cancel,
    Check,
    Checked,
    Description,
    Failed,
    Failure,
    FileAnswer,
    FilePart,
    Metadata,
    More,
    Part,
    Ready,
    decode_server_bound,
    decode_worker_bound,
)

SIZES = st.one_of(
    st.integers(0, 300),
    st.integers(INLINE_BYTES - 2, INLINE_BYTES + 2),
    st.integers(RECEIVE_BYTES - 40, RECEIVE_BYTES + 40),
    st.integers(2 * INLINE_BYTES, 4 * INLINE_BYTES),
)
BODIES = st.builds(lambda size, seed: bytes([seed]) * size, SIZES, st.integers(0, 255))
CALLS = st.builds(lambda bodies: Calls([Call(n, body=body) for n, body in enumerate(bodies)]), st.lists(BODIES))
SERVED = st.one_of(
    st.builds(lambda bodies: Answers([Answer(n, body=b) for n, b in enumerate(bodies)], 7), st.lists(BODIES)),
    st.builds(Part, st.integers(0, 9), BODIES, st.booleans()),
    st.builds(Failed, st.just("load"), st.text(max_size=9), st.just("x" * 100_000)),
)
WORKER_BOUND: st.SearchStrategy[Any] = st.one_of(CALLS, st.builds(Cancel, st.lists(st.integers(0, 9))))
CUTS = st.lists(st.integers(1, 100_000), max_size=30)


def received(receiver: Receiver[Any], stream: bytes, cuts: Sequence[int]) -> list[Any]:
    """Feed a stream cut into pieces; a piece larger than the buffer is given as the socket would, in parts."""
    messages: list[Any] = []
    for cut in [*cuts, len(stream) or 1]:
        piece, stream = stream[:cut], stream[cut:]
        while piece:
            buffer = receiver.buffer()
            count = min(len(buffer), len(piece))
            buffer[:count] = piece[:count]
            messages += receiver.received(count)
            piece = piece[count:]
    return messages


@given(sent=st.lists(WORKER_BOUND, max_size=4), cuts=CUTS)
def test_calls_cut_anywhere_arrive_as_they_were(sent: list[Any], cuts: list[int]) -> None:
    stream = b"".join(piece for message in sent for piece in encode(message))
    assert received(Receiver(decode_worker_bound), stream, cuts) == sent


@given(sent=st.lists(SERVED, max_size=4), cuts=CUTS)
def test_what_workers_say_cut_anywhere_arrives_as_it_was(sent: list[Any], cuts: list[int]) -> None:
    stream = b"".join(piece for message in sent for piece in encode(message))
    assert received(Receiver(decode_server_bound), stream, cuts) == sent


def test_a_stream_of_single_bytes_is_the_same_stream() -> None:
    sent: list[Any] = [Calls([Call(1, body=b"x" * (INLINE_BYTES + 1)), Call(2)]), More(1, 3)]
    stream = b"".join(piece for message in sent for piece in encode(message))
    assert received(Receiver(decode_worker_bound), stream, [1] * len(stream)) == sent


def test_a_call_keeps_all_its_parts() -> None:
    part = FilePart("image", "/x/1.png", "image/png", "cat.png", 3)
    call = Call(1, "r", "a=1", "multipart/form-data", "*/*", b"\x00\xff", {"x-user": "u"}, 2.5, [("a", "b")], [part])
    (frame,) = encode(Calls([call]))
    assert received(Receiver(decode_worker_bound), bytes(frame), ()) == [Calls([call])]


@pytest.mark.parametrize(
    "message",
    [
        Ready(Description(Metadata("m", "M", "a model"))),
        Failed("load", "ValueError: x", "Traceback"),
        Answers([Answer(1, "image/png", b"\x89"), Answer(2, file=FileAnswer("/x", 3, True), filename="x.png")], 5),
        Answers([Answer(3, failure=Failure(422, "invalid", "no", {"x": ["wrong"], "y": {"0": ["bad"]}}, "log"))]),
        Part(4, b"data: 1\n\n"),
        Part(4, last=True, failure=Failure(500, "model_error", "no")),
    ],
)
def test_what_a_worker_says_arrives_as_it_was(message: Any) -> None:
    (frame,) = encode(message)
    assert received(Receiver(decode_server_bound), bytes(frame), ()) == [message]


def test_a_large_body_is_sent_from_the_object_that_holds_it_and_stays_there() -> None:
    body = b"x" * (INLINE_BYTES + 1)
    call = Call(2, body=body)
    _, sent = encode(Calls([Call(1, body=b"small"), call]))
    assert sent is body
    assert call.body is body


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_body_may_be_any_buffer(kind: Any) -> None:
    for size in (10, INLINE_BYTES + 1):
        stream = b"".join(encode(Part(1, kind(b"x" * size))))
        assert received(Receiver(decode_server_bound), stream, ()) == [Part(1, b"x" * size)]


def test_a_large_body_is_received_into_the_object_that_keeps_it() -> None:
    receiver = Receiver(decode_server_bound)
    head, body = encode(Part(1, b"x" * (4 * INLINE_BYTES)))
    assert received(receiver, bytes(head), ()) == []
    buffer = receiver.buffer()
    assert len(buffer) == len(body)
    buffer[:] = body
    (part,) = receiver.received(len(body))
    assert type(part.data) is bytearray
    assert part.data is buffer.obj


def test_a_small_body_is_bytes_of_its_own() -> None:
    receiver = Receiver(decode_worker_bound)
    (first,) = received(receiver, bytes(encode(Calls([Call(1, body=b"first")]))[0]), ())
    received(receiver, bytes(encode(Calls([Call(1, body=b"other")]))[0]), ())
    assert first.calls[0].body == b"first"
    assert type(first.calls[0].body) is bytes


def test_more_large_bodies_than_a_table_holds_still_arrive() -> None:
    body = b"x" * (INLINE_BYTES + 1)
    sent = Calls([Call(number, body=body) for number in range(MAX_BODIES + 1)])
    pieces = encode(sent)
    assert len(pieces) == MAX_BODIES + 1
    receiver, messages = Receiver(decode_worker_bound), []
    for piece in pieces:
        messages += received(receiver, bytes(piece), ())
    assert messages == [sent]


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        (struct.pack("!II", 2_000_000, 0), "2000000 bytes; at most 1000000"),
        (struct.pack("!II", FRAME_LIMIT_BYTES, 0), "at most 1000000"),
        (struct.pack("!IIII", 10, 1, 0, FRAME_LIMIT_BYTES), f"{FRAME_LIMIT_BYTES} bytes"),
        (struct.pack("!IIIIII", 10, 2, 0, 70_000, 1, 0), "0 bytes"),
        (struct.pack("!IIII", 10, 1, 0, INLINE_BYTES), f"{INLINE_BYTES} bytes"),
        (struct.pack("!II", 10, 3), "3 bodies; at most 2"),
        (struct.pack("!II", 10, MAX_BODIES + 1), f"{MAX_BODIES + 1} bodies"),
        (struct.pack("!II", 10_000, 0) + b"\x91" * 10_000, "no message"),
        (struct.pack("!II", 3, 0) + b"abc", "no message"),
        (struct.pack("!II", 100_000, 0) + b"a" * 100_000, "no message"),
    ],
)
def test_what_is_no_frame_is_refused_before_memory_is_taken_for_it(prefix: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        received(Receiver(decode_server_bound, bounds=lambda: Bounds(1_000_000, 2, 5_000_000)), prefix, ())


def test_a_body_for_an_item_that_is_not_there_is_refused() -> None:
    (frame,) = encode(Calls([Call(1)]))
    head = bytes(frame)[8:]
    with pytest.raises(FrameError, match="item 1"):
        received(
            Receiver(decode_worker_bound), struct.pack("!IIII", len(head), 1, 1, 70_000) + head + bytes(70_000), ()
        )


def test_a_body_takes_memory_only_when_it_begins_to_come() -> None:
    """X7."""
    receiver, most = Receiver(decode_server_bound), 100
    frame = struct.pack("!II", 10, most) + b"".join(struct.pack("!II", place, 2**31) for place in range(most))
    tracemalloc.start()
    try:
        assert received(receiver, frame, ()) == []
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_body_of_a_call_to_be_validated_is_not_copied_into_its_head() -> None:
    """Y22."""
    call, answer = Call(1, body=b"x" * 1_000_000), Answer(1, body=b"y" * 1_000_000)
    for message, receiver, sent in [
        (Check(call), Receiver[Any](decode_worker_bound), call.body),
        (Checked(answer), Receiver[Any](decode_server_bound), answer.body),
    ]:
        assert isinstance(message, Check | Checked)
        head, body = encode(message)
        assert body is sent
        assert received(receiver, bytes(head) + sent, ()) == [message]


def test_a_head_over_its_limit_is_not_sent() -> None:
    """X7."""
    with pytest.raises(OverflowError, match="over 1000"):
        encode(Failed("load", "x" * 2000, ""), 1000)


def test_a_frame_of_4_gib_is_not_sent() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return FRAME_LIMIT_BYTES

    with pytest.raises(OverflowError):
        encode(Part(1, Huge(b"x")))
