"""Where libraries keep what they have compiled, without any library."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from modelserve.runtime.caches import IN_HOME, IN_TEMPORARY, cache_variables, make_cache_folder


def test_the_folder_is_in_the_data_folder_for_this_user_alone(tmp_path: Path) -> None:
    """L-12."""
    data = tmp_path / "data"
    folder = make_cache_folder(data, str(tmp_path))
    assert Path(folder) == data / "cache"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, data / "cache")] == [0o700, 0o700]
    assert make_cache_folder(data, str(tmp_path)) == folder


@pytest.mark.parametrize("data", ["none", "file", "open"])
def test_without_a_data_folder_it_is_beside_the_temporary_ones(tmp_path: Path, data: str) -> None:
    """L-12."""
    path = tmp_path / "data"
    if data == "file":
        path.touch()
    if data == "open":
        (path / "cache").mkdir(parents=True)
        (path / "cache").chmod(0o777)
    folder = make_cache_folder(None if data == "none" else path, str(tmp_path))
    assert Path(folder) == tmp_path / f"modelserve-cache-{os.geteuid()}"
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("planted", ["link", "open"])
def test_where_nothing_is_ours_alone_there_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, planted: str
) -> None:
    """L-12: what is compiled is run, and must not be somebody else's."""
    place = tmp_path / f"modelserve-cache-{os.geteuid()}"
    (tmp_path / "other").mkdir(mode=0o700)
    if planted == "link":
        place.symlink_to(tmp_path / "other")
    else:
        place.mkdir()
        place.chmod(0o777)
    assert make_cache_folder(None, str(tmp_path)) == ""
    assert "lost with each worker" in caplog.text
    assert cache_variables("", {}) == {}


def test_libraries_that_use_the_temporary_folder_are_given_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L-12."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = cache_variables("/cache", {"TFHUB_CACHE_DIR": "/mine"})
    assert found == {"TORCHINDUCTOR_CACHE_DIR": "/cache/torchinductor", "TIKTOKEN_CACHE_DIR": "/cache/tiktoken"}


@pytest.mark.parametrize("home", ["/nonexistent", "/dev/null"])
def test_without_a_home_so_are_those_that_use_it(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """L4, L-12."""
    monkeypatch.setenv("HOME", home)
    found = cache_variables("/cache", {"MPLCONFIGDIR": "/mine"})
    assert found.keys() == (IN_TEMPORARY | IN_HOME).keys() - {"MPLCONFIGDIR"}
    assert found["XDG_CACHE_HOME"] == "/cache"
    assert found["NUMBA_CACHE_DIR"] == "/cache/numba"
