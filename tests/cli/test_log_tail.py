"""A log is read line by line while another process writes it."""

from __future__ import annotations

from pathlib import Path

from modelserve.cli.log_tail import PIECE_BYTES, LogTail


def test_lines_come_once_they_are_whole_and_the_rest_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file, LogTail(path) as tail:
        file.write(b"one\ntw")
        file.flush()
        assert list(tail.lines()) == ["one"]
        assert list(tail.lines()) == []
        file.write(b"o\r\n  0%\r 50%\r100%\n\xff\nrest")
        file.flush()
        assert list(tail.lines()) == ["two", "100%", "\ufffd"]
        assert list(tail.lines(to_the_end=True)) == ["rest"]


def test_a_line_without_end_is_shown_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 * PIECE_BYTES))
    with LogTail(path) as tail:
        pieces = [line for _ in range(4) for line in tail.lines()]
        pieces += tail.lines(to_the_end=True)
    assert "".join(pieces) == "x" * (3 * PIECE_BYTES)
    assert max(map(len, pieces)) <= 2 * PIECE_BYTES
