"""What workers leave behind is ended first and removed then; what cannot be removed is tried again."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from pathlib import Path

import pytest

from modelserve.runtime.offspring import MARK
from modelserve.runtime.remains import Remains
from modelserve.supervised import Supervisor
from tests.running import eventually


def filled(folder: Path) -> Path:
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_text("text")
    return folder


def test_what_a_worker_had_started_is_ended_before_its_folder_goes(tmp_path: Path) -> None:
    """Y25."""
    folder = filled(tmp_path / "worker")
    child = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: str(folder)}, start_new_session=True)
    remains = Remains(Supervisor())
    remains.start()
    remains.start()
    remains.put(str(folder))
    eventually(lambda: not folder.exists())
    assert child.wait(1) < 0
    remains.close()


def test_what_cannot_be_removed_is_tried_again_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Y26."""
    stuck, other = filled(tmp_path / "stuck"), filled(tmp_path / "other")
    remains, rmdir, refused = Remains(Supervisor()), os.rmdir, threading.Event()

    def refuse_once(path: str, **options: int | None) -> None:
        if str(path) == str(stuck) and not refused.is_set():
            refused.set()
            raise OSError(errno.EBUSY, "Device or resource busy")
        rmdir(path, **options)

    monkeypatch.setattr(os, "rmdir", refuse_once)
    remains.start()
    remains.put(str(stuck))
    eventually(lambda: "cannot be removed now" in caplog.text)
    remains.put(str(other))
    eventually(lambda: not stuck.exists() and not other.exists())
    remains.close()


def test_where_no_thread_can_be_started_it_says_so_and_can_be_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y26."""
    remains = Remains(Supervisor())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread can be started"):
            remains.start()
    remains.start()
    folder = filled(tmp_path / "worker")
    remains.put(str(folder))
    remains.close()
    assert not folder.exists()


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
