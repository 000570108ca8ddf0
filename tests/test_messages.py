"""Frames and messages: what goes in comes out, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.messages import (
    Answer,
    Answers,
    Call,
    Calls,
    Description,
    Failed,
    Failure,
    FileAnswer,
    FilePart,
    FrameReader,
    Metadata,
    Ready,
    decode_server_bound,
    decode_worker_bound,
    encode,
)


@given(bodies=st.lists(st.binary(max_size=300), max_size=8), cuts=st.lists(st.integers(1, 400), max_size=30))
def test_a_stream_cut_anywhere_gives_the_same_calls(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode(Calls([Call(id=number, body=body)])) for number, body in enumerate(bodies))
    reader, got = FrameReader(), []
    for cut in [*cuts, len(stream) + 1]:
        got += [decode_worker_bound(bytes(payload)).calls[0].body for payload in reader.feed(stream[:cut])]
        stream = stream[cut:]
    assert got == bodies


def test_a_call_keeps_all_its_parts() -> None:
    part = FilePart("image", "/x/1.png", "image/png", "cat.png", 3)
    call = Call(1, "r", "a=1", "multipart/form-data", "*/*", b"\x00\xff", {"x-user": "u"}, [("a", "b")], [part])
    (payload,) = FrameReader().feed(encode(Calls([call])))
    assert decode_worker_bound(payload).calls == [call]


@pytest.mark.parametrize(
    "message",
    [
        Ready(Description(Metadata("m", "M", "a model"))),
        Failed("load", "ValueError: x", "Traceback"),
        Answers(
            [Answer(1, "image/png", b"\x89"), Answer(2, file=FileAnswer("/x", 3, True), filename="x.png")], busy_ns=5
        ),
        Answers([Answer(3, failure=Failure(422, "invalid", "no", {"x": ["wrong"], "y": {"0": ["bad"]}}, "log"))]),
    ],
)
def test_what_a_worker_says_arrives_as_it_was(message: Ready | Failed | Answers) -> None:
    (payload,) = FrameReader().feed(encode(message))
    assert decode_server_bound(payload) == message
