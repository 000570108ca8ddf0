"""The operator's socket: who may reach it, what becomes of one that was left, and what it says when nobody is there."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from modelserve.control import ControlError, bound, listening_ports, order


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder with a name that is far too long for a Unix socket."""
    runtime = tmp_path / ("long" * 40)
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # other tests' servers have theirs in the system's
    return runtime / "modelserve"


def test_only_its_user_can_reach_it_and_it_is_gone_afterwards(home: Path) -> None:
    with bound(5000):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "5000.sock").stat().st_mode) == 0o600
        assert listening_ports() == [5000]
    assert not home.exists()
    assert listening_ports() == []


def test_each_port_has_its_own_and_the_folder_stays_until_the_last(home: Path) -> None:
    with bound(5001):
        with bound(5000):
            assert listening_ports() == [5000, 5001]
        assert listening_ports() == [5001]


def test_without_a_runtime_folder_it_lies_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with bound(5000):
        assert (tmp_path / f"modelserve-control-{os.getuid()}" / "5000.sock").is_socket()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        assert listening_ports() == [5000], "a shell may have the folder that a service has not"


def test_the_socket_of_a_killed_server_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        monkeypatch.chdir(home)
        left.bind("5000.sock")
    assert listening_ports() == []
    with bound(5000):
        assert listening_ports() == [5000]


def test_the_socket_of_a_server_that_runs_is_not_taken(home: Path) -> None:
    with bound(5000):
        with pytest.raises(ControlError, match="another server on the same port has one there"), bound(5000):
            pass
        assert listening_ports() == [5000]


def test_a_folder_that_others_may_enter_is_not_used(home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    with pytest.raises(ControlError, match="not this user's alone"), bound(5000):
        pass
    assert listening_ports() == []


def test_a_link_in_the_place_of_the_folder_is_not_followed(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    home.symlink_to(elsewhere)
    with pytest.raises(ControlError), bound(5000):
        pass
    assert list(elsewhere.iterdir()) == []


def test_another_servers_file_is_not_removed(home: Path) -> None:
    with bound(5000):
        (home / "5000.sock").unlink()
        (home / "5000.sock").write_text("another's")
    assert (home / "5000.sock").read_text() == "another's"


def test_an_order_to_nobody_is_a_sentence(home: Path) -> None:
    with pytest.raises(ControlError, match="No server of this user listens on port 5000"):
        list(order(5000, "GET", "/status"))


def test_an_order_to_what_is_no_server_is_a_sentence(home: Path) -> None:
    with bound(5000) as listening:
        thread = threading.Thread(target=_talk_nonsense, args=[listening])
        thread.start()
        with pytest.raises(ControlError, match="does not answer"):
            list(order(5000, "GET", "/status"))
        thread.join()


def _talk_nonsense(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"nonsense\r\n\r\n")
