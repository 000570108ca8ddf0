"""The files that a training keeps: which are listed, and that each is opened without a look at the others."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from modelserve.errors import NotFound
from modelserve.jobs.artifacts import Artifact, Artifacts
from modelserve.regular_files import opened


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "job" / "artifacts"
    (top / "plots").mkdir(parents=True)
    for name in ("weights.pt", "plots/loss é.png", ".hidden"):
        (top / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "job" / "log").write_text("log")
    (top / "link").symlink_to(tmp_path / "secret")
    (top / "folder").symlink_to(tmp_path)
    (top / "hard").hardlink_to(tmp_path / "secret")
    os.mkfifo(top / "pipe")
    return top


def listed(top: Path) -> list[str]:
    return [artifact.name for artifact in Artifacts(top).page(100).artifacts]


def test_artifacts_are_listed_at_any_depth_and_links_are_not(top: Path) -> None:
    assert listed(top) == [".hidden", "plots/loss é.png", "weights.pt"]
    assert Artifacts(top).page(2, ".hidden").artifacts == [Artifact("plots/loss é.png", 17)]
    assert listed(top.parent / "none") == []


def test_a_page_says_where_the_next_begins(top: Path) -> None:
    """X13."""
    first = Artifacts(top).page(3)
    assert ([one.name for one in first.artifacts], first.cursor) == (
        [".hidden", "plots/loss é.png"],
        "plots/loss é.png",
    )
    last = Artifacts(top).page(3, first.cursor)
    assert ([one.name for one in last.artifacts], last.cursor) == (["weights.pt"], "")


def test_one_is_opened_without_a_look_at_the_others(top: Path) -> None:
    """X13."""
    with mock.patch("os.scandir", side_effect=AssertionError), opened(Artifacts(top).open("plots/loss é.png")) as end:
        assert os.read(end, 100).decode() == "plots/loss é.png"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "link",
        "hard",
        "pipe",
        "../log",
        "/etc/passwd",
        "folder/secret",
        "plots/../weights.pt",
        "plots",
        "none",
        "a\0b",
    ],
)
def test_no_other_name_leads_to_a_file(top: Path, name: str) -> None:
    """X15."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotFound):
        Artifacts(top).open(name)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_no_two_files_are_shown_alike(tmp_path: Path) -> None:
    """X8: a name that looks like one with bytes that are no UTF-8, and one that looks like that."""
    top = tmp_path / "job" / "artifacts"
    top.mkdir(parents=True)
    names = [b"\xff", b"%FF", b"%25FF", b"%2525FF", b"%\xff", b"%25\xff", b"%25", b"%ff", b"%41", b"\xe9%E9%25E9 100%"]
    for name in names:
        (top / os.fsdecode(name)).write_bytes(name)
    (top / "%E9").mkdir()
    (top / "%E9" / "%FF").write_bytes(b"%E9/%FF")
    shown = listed(top)
    assert len(shown) == len(set(shown)) == len(names) + 1
    assert {"%FF", "%25FF", "%25%FF", "%ff", "%25E9/%25FF"} < set(shown)
    found = set()
    for one in shown:
        with opened(Artifacts(top).open(one)) as end:
            found.add(os.read(end, 100))
    assert found == {*names, b"%E9/%FF"}
    with opened(Artifacts(top).open("%E9/%FF")) as end:
        assert os.read(end, 100) == b"%E9/%FF", "its name as it is, where that is no other's"


@pytest.mark.parametrize("which", ["artifacts", "job"])
def test_a_folder_that_was_replaced_by_a_link_is_empty(top: Path, tmp_path: Path, which: str) -> None:
    """X15."""
    replaced = top if which == "artifacts" else top.parent
    replaced.rename(tmp_path / "elsewhere")
    replaced.symlink_to(tmp_path / "elsewhere")
    assert listed(top) == []
    with pytest.raises(NotFound):
        Artifacts(top).open("weights.pt")


def test_folders_without_end_are_not_followed_for_ever(tmp_path: Path) -> None:
    top = tmp_path / "job" / "artifacts"
    (top / "/".join(["d"] * 150)).mkdir(parents=True)
    (top / "/".join(["d"] * 150) / "deep").touch()
    (top / "d" / "near").touch()
    assert listed(top) == ["d/near"]
