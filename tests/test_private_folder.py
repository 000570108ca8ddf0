"""A folder that is ours alone, or an error."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from modelserve.private_folder import make_private


def test_a_folder_is_made_where_there_is_none_and_kept_where_there_is(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make_private(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (path / "file").write_text("x")
    make_private(str(path))
    assert (path / "file").exists()


def test_a_folder_whose_parent_is_not_there_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_private(str(tmp_path / "none" / "run"))


@pytest.mark.parametrize("planted", ["link", "file", "open folder"])
def test_what_somebody_else_put_in_its_place_is_refused(tmp_path: Path, planted: str) -> None:
    """I04."""
    path = tmp_path / "run"
    if planted == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "elsewhere")
    elif planted == "file":
        path.touch(mode=0o600)
    else:
        path.mkdir()
        path.chmod(0o755)
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        make_private(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)
    with pytest.raises(PermissionError):
        make_private(str(path))
