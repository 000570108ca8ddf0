"""A log that takes too much of the disk loses its middle, and whoever writes it goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelserve.jobs import log_limit
from modelserve.jobs.log_limit import Hole, find_hole, shorten

KEPT, LIMIT = 64 * 1024, 256 * 1024


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small limits."""
    monkeypatch.setattr(log_limit, "KEPT_BYTES", KEPT)
    monkeypatch.setattr(log_limit, "LIMIT_BYTES", LIMIT)


def hole(path: Path) -> Hole | None:
    """Return what has left the disk of a file."""
    end = os.open(path, os.O_RDONLY)
    try:
        return find_hole(end)
    finally:
        os.close(end)


def test_what_is_small_stays_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert not shorten(log)
    log.write_bytes(b"x" * LIMIT)
    assert not shorten(log)
    assert hole(log) is None


def test_again_and_again_its_beginning_and_its_end_stay_where_they_were(tmp_path: Path) -> None:
    """X17."""
    log = tmp_path / "log"
    written = 0
    with open(log, "ab", buffering=0) as file:
        for number in range(20):
            written += file.write(bytes([65 + number]) * 100_000)
            shorten(log)
            assert log.stat().st_blocks * 512 <= LIMIT + 100_000
    assert log.stat().st_size == written
    data, found = log.read_bytes(), hole(log)
    assert found is not None
    assert found.start == KEPT
    assert data[:KEPT] == b"A" * KEPT
    assert data[-50_000:] == b"T" * 50_000
    assert written - found.end >= KEPT


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    elsewhere, link, pipe = tmp_path / "elsewhere", tmp_path / "log", tmp_path / "pipe"
    elsewhere.write_bytes(b"x" * 4 * LIMIT)
    link.symlink_to(elsewhere)
    os.mkfifo(pipe)
    assert not shorten(link)
    assert not shorten(pipe)
    assert hole(elsewhere) is None


def test_without_holes_the_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_limit, "_PUNCH_HOLE", 0x80)  # no mode that there is
    log = tmp_path / "log"
    with open(log, "ab", buffering=0) as file:
        file.write(b"x" * 2 * LIMIT)
        assert shorten(log)
        file.write(b"more")
    assert log.read_bytes() == b"x" * KEPT + b"more"
