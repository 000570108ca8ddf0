"""Trailers of a chunked body are seen however it is cut into pieces, and what has none seldom looks as if it had."""

from __future__ import annotations

import pytest

from modelserve.web.chunks import Chunks
from modelserve.web.heads import MAX_HEAD_BYTES

HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def looks(*pieces: bytes) -> bool:
    chunks = Chunks()
    for piece in pieces:
        chunks.feed(piece, 0)
    return chunks.may_have_trailers


@pytest.mark.parametrize("last", [b"0\r\n", b"000\r\n", b"0;a=b\r\n", b"0 ;a\r\n", b"0;a=0\r\n", b"0\t\r\n"])
@pytest.mark.parametrize("body", [b"", b"2\r\n{}\r\n", b"3\r\n\r\n0\r\n", b"1\r\n0\r\n"])
def test_trailers_are_seen_wherever_the_pieces_are_cut(body: bytes, last: bytes) -> None:
    """X4: of the kind."""
    whole = HEAD + body + last + b"X: y\r\n\r\n"
    for first in range(len(whole)):
        assert looks(whole[:first], whole[first:])
    assert looks(*(whole[at : at + 1] for at in range(len(whole))))


@pytest.mark.parametrize("last", [b"0\r\n\r\n", b"0;a=b\r\n\r\n"])
@pytest.mark.parametrize("body", [b"", b"2\r\n{}\r\n", b"0a\r\n0123456789\r\n", b"00F\r\n" + b"1" * 15 + b"\r\n"])
def test_a_body_without_trailers_does_not_look_as_if_it_had_some(body: bytes, last: bytes) -> None:
    """X4: of the kind, the other way."""
    whole = HEAD + body + last + b"GET / HTTP/1.1\r\n"
    for first in range(len(whole)):
        assert not looks(whole[:first], whole[first:])
    assert not looks(*(whole[at : at + 1] for at in range(len(whole))))


def test_a_last_chunk_whose_line_has_no_end_counts_as_one_with_trailers() -> None:
    """X4: of the kind."""
    assert looks(b"0;" + b"a" * MAX_HEAD_BYTES)


def test_what_stands_between_chunks_is_counted_until_a_part_of_the_body_comes() -> None:
    """X4: of the kind."""
    chunks, half = Chunks(), b";" * (MAX_HEAD_BYTES // 2)
    assert [chunks.feed(half, size) for size in (1, 1, 1, 2, 2, 2, 2)] == [False] * 6 + [True]
