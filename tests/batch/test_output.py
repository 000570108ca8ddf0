"""An output holds whole lines only, and knows how many."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelserve.batch.output import Output, Piece
from modelserve.batch.state import read_state, state_path
from modelserve.errors import SettingsError


def line(row: int) -> bytes:
    return b'{"row":%d,"output":1}\n' % row


def written(path: Path, count: int) -> bytes:
    """Write so many lines, of which the state knows one, and return them."""
    output = Output(path, is_folder=False)
    with output.opened({"task": 1}, restart=False):
        output.begin()
        output.write(Piece([line(0)], 0, []))
        output.sync()
        output.write(Piece([line(row) for row in range(1, count)], 0, []))
    return path.read_bytes()


@pytest.mark.parametrize(
    "torn", [b"", b'{"row":3', b'{"row":3,"outpu\n', b"[3]\n", b'{"row":5,"output":1}\n', b"\0\0\n"]
)
def test_it_goes_on_behind_the_last_line_that_is_whole_and_next(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "out.jsonl"
    content = written(path, 3)
    path.write_bytes(content + torn)
    output = Output(path, is_folder=False)
    with output.opened({"task": 1}, restart=False):
        state = output.begin()
    assert (state.rows, state.failed, state.bytes, path.read_bytes()) == (3, 0, len(content), content)


def test_errors_that_the_state_does_not_know_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    content = written(path, 2) + b'{"row":2,"error":{}}\n{"row":3,"output":{"error":1}}\n'
    path.write_bytes(content)
    output = Output(path, is_folder=False)
    with output.opened({"task": 1}, restart=False):
        state = output.begin()
    assert (state.rows, state.failed) == (4, 1)


def test_one_that_never_begins_leaves_nothing(tmp_path: Path) -> None:
    output = Output(tmp_path / "out.jsonl", is_folder=False)
    with output.opened({}, restart=False) as state:
        assert state is None
    assert list(tmp_path.iterdir()) == []


def test_a_restart_forgets_what_was(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    written(path, 3)
    output = Output(path, is_folder=False)
    with output.opened({"task": 2}, restart=True):
        assert path.stat().st_size > 0
        assert output.begin().rows == 0
    assert (path.read_bytes(), read_state(path)) == (b"", output.state)


def test_a_state_of_another_version_is_not_understood(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    written(path, 1)
    state = json.loads(state_path(path).read_text())
    state_path(path).write_text(json.dumps(state | {"format": 2}))
    with (
        pytest.raises(SettingsError, match="another version of modelserve"),
        Output(path, is_folder=False).opened({"task": 1}, restart=False),
    ):
        pass


@pytest.mark.parametrize("path", ["/dev/null/out.jsonl", "/dev/full/"])
def test_a_place_that_takes_no_file_is_refused(path: str) -> None:
    with (
        pytest.raises(SettingsError, match="cannot be written"),
        Output(Path(path), is_folder=path.endswith("/")).opened({}, restart=False),
    ):
        pass


def test_a_pipe_is_no_output(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(SettingsError, match="must be a file, not a device or a pipe"),
        Output(tmp_path / "pipe", is_folder=False).opened({}, restart=False),
    ):
        pass


def test_a_folder_that_takes_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    output = Output(path, is_folder=False)
    (tmp_path / "out.jsonl.state.new").mkdir()
    with output.opened({}, restart=False), pytest.raises(SettingsError, match="cannot be written: Is a directory"):
        output.begin()
