"""Folders that a model has filled are removed, however it has done that."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserve.removal import remove_tree

# Deeper than Python calls functions, and than most processes may open files.
DEPTH = 1500

NOBODY = 65534


@contextlib.contextmanager
def as_somebody_else(own: Path) -> Iterator[None]:
    """Own a folder as a user who is not root, whom nothing is forbidden."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(own, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def deepen(folder: Path, depth: int) -> None:
    """Make folders in each other, whose path is longer than any that can be written."""
    folder.mkdir(exist_ok=True)
    end = os.open(folder, os.O_RDONLY)
    for level in range(depth):
        os.mkdir("below" * 10, dir_fd=end)
        if level % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=end))
        inner = os.open("below" * 10, os.O_RDONLY, dir_fd=end)
        os.close(end)
        end = inner
    os.close(end)


def test_a_folder_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    """Y26."""
    deepen(tmp_path / "folder", DEPTH)
    before = len(os.listdir("/proc/self/fd"))
    remove_tree(tmp_path / "folder")
    assert not os.listdir(tmp_path)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("text")
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    os.mkfifo(tmp_path / "folder" / "below" / os.fsdecode(b"\xff"))
    with pytest.raises(OSError):
        remove_tree(tmp_path / "link")
    assert (tmp_path / "folder" / "below").exists()
    remove_tree(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert (tmp_path / "kept" / "file").read_text() == "text"
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "folder")


def test_where_something_cannot_be_removed_all_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "folder" / name / "below").mkdir(parents=True)
        (tmp_path / "folder" / name / "below" / "file").write_text("text")
        (tmp_path / "folder" / name / name).write_text("text")
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "b":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        with pytest.raises(PermissionError):
            remove_tree(tmp_path / "folder")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["folder", "folder/b", "folder/b/b"]
    remove_tree(tmp_path / "folder")
    assert not os.listdir(tmp_path)


def test_what_its_owner_may_not_enter_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y26."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.chdir(own)
    with as_somebody_else(own):
        for name in ("closed", "fixed"):
            os.makedirs(f"folder/{name}/below")
            Path("folder", name, "below", "file").touch()
            os.chmod(f"folder/{name}/below", 0o500)
        os.chmod("folder/fixed", 0o500)
        os.chmod("folder/closed", 0)
        remove_tree("folder")
    assert not os.listdir(own)
