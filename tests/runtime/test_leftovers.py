"""The folder of a run, and what a start removes of the folders that killed runs left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserve.runtime.leftovers import PREFIX, run_folder, sweep

RUN = """
import sys, time
from pathlib import Path
from modelserve.runtime.leftovers import run_folder
with run_folder(sys.argv[1]) as folder:
    Path(folder, "worker-0").mkdir()
    Path(folder, "worker-0", "upload").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(300)
"""


class Run:
    """A process that holds a run's folder, as a server does."""

    def __init__(self, parent: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(parent)], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert self._process.stdout is not None
        self.folder = Path(self._process.stdout.readline().strip())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.kill()


def test_a_run_has_a_folder_that_only_its_user_may_read_and_takes_it_along(tmp_path: Path) -> None:
    with run_folder(str(tmp_path)) as folder:
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert os.path.dirname(folder) == str(tmp_path)
        Path(folder, "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_without_a_parent_the_folder_lies_in_the_systems_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with run_folder("") as folder:
        assert os.path.dirname(folder) == str(tmp_path)
        assert sweep("") == []


def test_a_run_whose_parent_is_not_there_cannot_have_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), run_folder(str(tmp_path / "none")):
        pass


def test_what_a_killed_run_left_is_removed(run: Run, tmp_path: Path) -> None:
    """I03."""
    run.kill()
    assert run.folder.exists()
    assert sweep(str(tmp_path)) == [str(run.folder)]
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_that_lives_is_left_alone(run: Run, tmp_path: Path) -> None:
    assert sweep(str(tmp_path)) == []
    assert (run.folder / "worker-0" / "upload").exists()


@pytest.mark.parametrize(
    "name", ["modelserve-run-", "modelserve-run-notes", "modelserve-data", "modelserve-run-ABCDEFGH"]
)
def test_a_folder_with_a_name_that_we_do_not_give_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert sweep(str(tmp_path)) == []
    assert (tmp_path / name).exists()


def test_a_link_with_a_name_of_ours_is_left_alone_and_so_is_what_it_leads_to(tmp_path: Path) -> None:
    """I04."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (tmp_path / f"{PREFIX}abcdefgh").symlink_to(precious)
    (tmp_path / f"{PREFIX}abcdefgi").write_text("a file")
    assert sweep(str(tmp_path)) == []
    assert (precious / "file").exists()


def test_a_link_in_a_leftover_is_removed_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    """I04."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    leftover = tmp_path / f"{PREFIX}abcdefgh"
    leftover.mkdir()
    (leftover / "link").symlink_to(precious)
    assert sweep(str(tmp_path)) == [str(leftover)]
    assert (precious / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_leftover_of_another_user_is_left_alone(tmp_path: Path) -> None:
    leftover = tmp_path / f"{PREFIX}abcdefgh"
    leftover.mkdir()
    os.chown(leftover, 12345, 12345)
    assert sweep(str(tmp_path)) == []
    assert leftover.exists()


def test_a_parent_that_cannot_be_read_fails_no_start(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "none")) == []


def test_runs_that_start_while_another_sweeps_keep_their_folders(tmp_path: Path) -> None:
    done = threading.Event()

    def sweep_on() -> None:
        while not done.is_set():
            sweep(str(tmp_path))

    sweeper = threading.Thread(target=sweep_on)
    sweeper.start()
    try:
        for _ in range(300):
            with run_folder(str(tmp_path)) as folder:
                Path(folder, "file").write_text("x")
                assert os.listdir(folder) == ["file"]
    finally:
        done.set()
        sweeper.join()
