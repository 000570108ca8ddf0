"""Whether a server has gone, by the lock that the kernel holds for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from modelserve.jobs.owners import KEPT_S, Owner

HOLDER = """
import pathlib, sys
from modelserve.jobs.owners import Owner
with Owner(pathlib.Path(sys.argv[1])) as owner:
    print(owner.id, flush=True)
    sys.stdin.read()
"""


def test_a_server_lives_as_long_as_its_block(tmp_path: Path) -> None:
    with Owner(tmp_path) as one, Owner(tmp_path) as two:
        assert one.id != two.id
        assert one.is_dead(two.id) is False
        assert one.is_dead(one.id) is False
    with Owner(tmp_path) as three:
        assert three.is_dead(one.id) is True
        assert three.is_dead(two.id) is True


def test_a_server_of_another_folder_is_not_known(tmp_path: Path) -> None:
    with Owner(tmp_path / "a") as one, Owner(tmp_path / "b") as two:
        assert one.is_dead(two.id) is None
        assert one.is_dead(uuid.uuid4().hex) is None


def test_a_server_that_was_killed_is_dead_at_once(tmp_path: Path) -> None:
    """H01."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        other = process.stdout.readline().strip()
        with Owner(tmp_path) as owner:
            assert owner.is_dead(other) is False
            process.kill()
            process.wait()
            assert owner.is_dead(other) is True


def test_a_server_has_gone_for_each_that_looks_at_the_same_moment(tmp_path: Path) -> None:
    """Y6: the lock that one takes to look is none that the other takes for the owner's."""
    with Owner(tmp_path) as gone:
        pass
    with Owner(tmp_path) as owner, open(tmp_path / "servers" / f"{gone.id}.lock", "rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as another server does
        assert owner.is_dead(gone.id) is True


def test_a_child_of_a_server_does_not_keep_it_alive(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner:
        child = subprocess.Popen(["sleep", "60"])
    try:
        with Owner(tmp_path) as other:
            assert other.is_dead(owner.id) is True
    finally:
        child.kill()
        child.wait()


def test_locks_of_long_ago_are_removed_at_the_next_start(tmp_path: Path) -> None:
    with Owner(tmp_path) as living:
        with Owner(tmp_path) as old, Owner(tmp_path):
            pass
        long_ago = time.time() - KEPT_S - 10
        for id in (living.id, old.id):
            os.utime(tmp_path / "servers" / f"{id}.lock", (long_ago, long_ago))
        with Owner(tmp_path) as owner:
            assert owner.is_dead(old.id) is None
            assert owner.is_dead(living.id) is False
            assert len(list((tmp_path / "servers").iterdir())) == 3


def test_a_file_that_cannot_be_locked_says_nothing(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner:
        (tmp_path / "servers" / "x.lock").symlink_to(tmp_path / "nowhere")
        assert owner.is_dead("x") is None
