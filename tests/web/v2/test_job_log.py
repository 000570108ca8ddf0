"""Reading a log: its last lines, and what comes on, whatever it holds and however it grows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelserve.jobs import log_limit
from modelserve.web.v2.job_log import LINE_BYTES, PIECE_BYTES, Lines, Span, find_span, read_lines, read_piece


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def tail(log: Path, count: int) -> bytes:
    return log.read_bytes()[find_span(log, count).start :]


def test_a_log_that_is_not_there_is_empty(log: Path) -> None:
    assert find_span(log, None) == find_span(log, 5) == Span(0, 0)
    assert read_piece(log, Span(0, 0)).data == b""
    assert read_lines(log, 0, is_over=True) == Lines([], 0)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_last_lines_are_found(log: Path, end: bytes) -> None:
    log.write_bytes(b"one\n\ntwo\nthree" + end)
    assert tail(log, 0) == b""
    assert tail(log, 1) == b"three" + end
    assert tail(log, 3) == b"\ntwo\nthree" + end
    assert tail(log, 4) == tail(log, 1000) == log.read_bytes()


def test_the_last_lines_are_found_in_a_log_of_many_pieces(log: Path) -> None:
    lines = [b"%07d\n" % number for number in range(200_000)]
    log.write_bytes(b"".join(lines))
    for count in (1, PIECE_BYTES // 8, PIECE_BYTES // 8 + 1, 100_000, 200_000, 300_000):
        assert tail(log, count) == b"".join(lines[-count:])


def test_a_part_of_a_log_is_read_piece_by_piece(log: Path) -> None:
    log.write_bytes(b"x" * PIECE_BYTES + b"yz")
    assert read_piece(log, Span(0, PIECE_BYTES + 2)).data == b"x" * PIECE_BYTES
    assert read_piece(log, Span(PIECE_BYTES, PIECE_BYTES + 1)).data == b"y"


def test_lines_are_read_once_they_are_whole(log: Path) -> None:
    log.write_bytes(b"one\ntw")
    assert read_lines(log, 0, is_over=False) == Lines(["one"], 4)
    assert read_lines(log, 4, is_over=False) == Lines([], 4)
    assert read_lines(log, 4, is_over=True) == Lines(["tw"], 6)
    log.write_bytes(b"one\ntwo\n\nthree\n")
    assert read_lines(log, 4, is_over=False) == Lines(["two", "", "three"], 15)
    assert read_lines(log, 15, is_over=True) == Lines([], 15)


def test_a_progress_bar_that_goes_back_makes_lines(log: Path) -> None:
    log.write_bytes(b"10%\r20%\r\n30%\r")
    assert read_lines(log, 0, is_over=False) == Lines(["10%", "20%"], 9)
    assert read_lines(log, 9, is_over=True) == Lines(["30%"], 13)


def test_a_very_long_line_is_given_out_in_parts(log: Path) -> None:
    log.write_bytes(b"x" * LINE_BYTES)
    assert read_lines(log, 0, is_over=False) == Lines(["x" * LINE_BYTES], LINE_BYTES)


def test_a_long_log_is_given_out_in_pieces_even_at_its_end(log: Path) -> None:
    log.write_bytes(b"%06d\n" % 7 * (PIECE_BYTES // 7 + 10))
    first = read_lines(log, 0, is_over=True)
    assert first.end == PIECE_BYTES // 7 * 7
    assert len(read_lines(log, first.end, is_over=True).lines) == 10


def test_what_is_no_text_is_shown_as_far_as_it_is(log: Path) -> None:
    log.write_bytes(b"caf\xe9 \xc3\xa9\n")
    assert read_lines(log, 0, is_over=False).lines == ["caf\ufffd é"]


@pytest.mark.parametrize(
    ("text", "count", "shown"),
    [
        (b"10 %\r20 %\r30 %\r", 2, b"20 %\r30 %\r"),
        (b"a\r\nb\r\nc", 2, b"b\r\nc"),
        (b"a\rb\nc\r\n", 3, b"a\rb\nc\r\n"),
        (b"a\rb\nc\r\n", 2, b"b\nc\r\n"),
        (b"x" * (3 * LINE_BYTES), 2, b"x" * (2 * LINE_BYTES)),
        (b"a\r\n" + b"b" * (PIECE_BYTES - 1), 5, None),
        (b"a\r\n" + b"b" * (PIECE_BYTES - 1), 1, b"b" * LINE_BYTES),
    ],
)
def test_a_carriage_return_ends_a_line_and_an_endless_one_is_several(
    log: Path, text: bytes, count: int, shown: bytes | None
) -> None:
    """X17."""
    log.write_bytes(text)
    assert log.read_bytes()[find_span(log, count).start :] == (text if shown is None else shown)


def test_what_has_left_the_disk_is_one_line_that_says_so(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X17: for who reads all, for who follows, and for who wants the last lines."""
    monkeypatch.setattr(log_limit, "KEPT_BYTES", 64 * 1024)
    monkeypatch.setattr(log_limit, "LIMIT_BYTES", 256 * 1024)
    log.write_bytes(b"first" + b"x" * 1_000_000 + b"\nlast\n")
    assert log_limit.shorten(log)
    size = log.stat().st_size
    span, data = find_span(log, None), b""
    while (piece := read_piece(log, span)).data:
        span, data = Span(piece.end, span.end), data + piece.data
    head, told, tail = re.split(rb"\n\.\.\. (\d+) bytes of the log were left out \.\.\.\n", data)
    assert head == b"first" + b"x" * (64 * 1024 - 5)
    assert len(head) + int(told) + len(tail) == size
    assert tail.endswith(b"x\nlast\n")
    lines, start = list[str](), 0
    while (found := read_lines(log, start, is_over=False)).end > start:
        lines, start = lines + found.lines, found.end
    assert [line for line in lines if "left out" in line] == [f"... {int(told)} bytes of the log were left out ..."]
    assert lines[-1] == "last"
    assert sum(map(len, lines)) < 200_000
    assert size - find_span(log, 1000).start == len(tail)
