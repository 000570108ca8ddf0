"""Files that others could have replaced: what is opened, and what is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelserve.regular_files import append, create, open_below, open_regular, opened, remove_link, write_anew


def test_a_regular_file_is_opened_and_nothing_else(tmp_path: Path) -> None:
    """X15."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    with opened(open_regular(tmp_path / "file")) as end:
        assert os.read(end, 10) == b"text"
    for name in ("link", "pipe", ".", "/dev/zero"):
        with pytest.raises(OSError):
            open_regular(tmp_path / name)


def test_no_folder_on_the_way_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "b")
    before = len(os.listdir("/proc/self/fd"))
    with opened(os.open(tmp_path, os.O_RDONLY)) as top:
        os.close(open_below(top, [b"a", b"b"]))
        for way in ([b"a", b"link"], [b"a", b"none"], [b"a", b"link", b"c"]):
            with pytest.raises(OSError):
                open_below(top, way)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_new_file_takes_the_place_of_a_link_and_not_of_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "link").symlink_to("theirs")
    write_anew(tmp_path / "link", b"ours")
    assert ((tmp_path / "theirs").read_text(), (tmp_path / "link").read_text()) == ("theirs", "ours")
    assert (tmp_path / "link").stat().st_mode & 0o777 == 0o600
    os.close(create(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_size == 0


def test_only_a_link_is_removed_as_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert remove_link(tmp_path / "link")
    assert not remove_link(tmp_path / "folder")
    assert not remove_link(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_nothing_is_written_behind_a_link(tmp_path: Path) -> None:
    """X15."""
    for text in (b"one", b"two"):
        append(tmp_path / "log", text)
    assert (tmp_path / "log").read_bytes() == b"onetwo"
    (tmp_path / "link").symlink_to("log")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError):
            append(tmp_path / name, b"three")
    assert (tmp_path / "log").read_bytes() == b"onetwo"
