"""A start on a database that is not as it should be: it ends with one sentence, and leaves the file as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelserve.errors import StartError, StoreBroken, StoreNewer, StoreUnreachable
from modelserve.jobs.opening import CHECKED_BYTES
from modelserve.jobs.schema import HEAD
from modelserve.jobs.store import Store
from tests.jobs.store_contract import a_job
from tests.jobs.test_database import locked

OPEN = "import sys, pathlib; from modelserve.jobs.store import Store; Store.open('', pathlib.Path(sys.argv[1])).close()"

# Another store is opened first, so that all that is needed is loaded while it may be read.
OPEN_WITHOUT_RIGHTS = """
import os, pathlib, sys
from modelserve.jobs.store import Store
Store.open("", pathlib.Path(sys.argv[2])).close()
user = os.geteuid()
if user == 0:
    os.seteuid(65534)
try:
    Store.open("", pathlib.Path(sys.argv[1])).close()
finally:
    os.seteuid(user)  # what measures the tests writes its file at the end
"""


def refused(data_dir: Path, url: str = "", *, wait_s: float = 0.3) -> StartError:
    """Return the error of a start that must fail."""
    with pytest.raises(StartError) as caught:
        Store.open(url, data_dir, wait_s=wait_s)
    assert caught.value.exit_code == 5
    return caught.value


def written(path: Path) -> dict[str, bytes]:
    """Return the files of a database, but for the shared memory, which holds no data."""
    return {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*") if file.suffix != ".db-shm"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a store with one job, closed."""
    with contextlib.closing(Store.open("", tmp_path)) as store:
        store.add(a_job("m"))
    return tmp_path / "modelserve.db"


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    Store.open("", tmp_path / "a" / "b").close()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", ["header", "first page", "later page", "cut", "text"])
def test_a_damaged_file_is_left_as_it_is(path: Path, damage: str) -> None:
    """H13."""
    whole = path.read_bytes()
    damaged = {
        "header": b"\0" * 100 + whole[100:],
        "first page": whole[:100] + b"\xff" * 4000 + whole[4100:],
        "later page": whole[:9000] + b"\xff" * 4000 + whole[13000:],
        "cut": whole[: len(whole) // 2],
        "text": b"no database at all\n" * 500,
    }[damage]
    path.write_bytes(damaged)
    error = refused(path.parent)
    assert isinstance(error, StoreBroken)
    assert str(path) in error.message
    assert "Restore it from a backup" in error.message
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("version", [f"{int(HEAD) + 1:04}", "9999", "1975ea83b712"])
@pytest.mark.parametrize("killed", [False, True])
def test_a_store_of_a_newer_version_is_left_as_it_is(path: Path, version: str, killed: bool) -> None:
    """H15."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE alembic_version SET version_num = ?", (version,))
        file.commit()
        if killed:  # then what was written last is still beside the file
            for name in ("modelserve.db", "modelserve.db-wal"):
                shutil.copy(path.parent / name, path.parent / f"kept-{name}")
    if killed:
        for name in ("modelserve.db", "modelserve.db-wal"):
            os.replace(path.parent / f"kept-{name}", path.parent / name)
    before = written(path)
    error = refused(path.parent)
    assert isinstance(error, StoreNewer)
    assert version in error.message
    assert str(path) in error.message
    assert "Upgrade modelserve" in error.message
    assert {name: data for name, data in written(path).items() if data} == before


def test_a_large_file_is_not_read_as_a_whole(path: Path) -> None:
    os.truncate(path, CHECKED_BYTES + 1)  # a hole behind the last page, which SQLite does not look at
    Store.open("", path.parent).close()


def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE jobs (x)")
    before = path.read_bytes()
    error = refused(tmp_path, f"sqlite:///{path}")
    assert isinstance(error, StoreBroken)
    assert "another program" in error.message
    assert path.read_bytes() == before


@pytest.mark.parametrize("empty", ["no bytes", "no tables"])
def test_an_empty_file_becomes_a_store(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "100% mine?#.db"
    path.touch()
    if empty == "no tables":
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.execute("VACUUM")
    with contextlib.closing(Store.open(f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F"), tmp_path)) as store:
        store.add(a_job("m"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="modelserve-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def open_without_rights(data_dir: Path, folder: Path) -> str:
    """Open a store as a user who may not write everywhere; return what the process says in the end."""
    command = [sys.executable, "-c", OPEN_WITHOUT_RIGHTS, str(data_dir), str(folder / "other")]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.stderr else ""


def test_a_folder_that_cannot_be_written_refuses_the_start(open_folder: Path) -> None:
    """H14."""
    (open_folder / "mine").mkdir(mode=0o555)
    said = open_without_rights(open_folder / "mine" / "data", open_folder)
    assert "StoreUnreachable: The data folder" in said
    assert "Permission denied" in said
    assert "--data-dir" in said


def test_a_file_that_cannot_be_written_refuses_the_start(open_folder: Path) -> None:
    """H14."""
    data, path = open_folder / "data", open_folder / "data" / "modelserve.db"
    Store.open("", data).close()
    path.chmod(0o444)
    data.chmod(0o777)
    before = path.read_bytes()
    said = open_without_rights(data, open_folder)
    assert "StoreUnreachable: The store of jobs" in said
    assert "readonly" in said
    assert str(path) in said
    assert path.read_bytes() == before


def test_a_file_where_the_folder_should_be_refuses_the_start(tmp_path: Path) -> None:
    """H14."""
    (tmp_path / "file").touch()
    assert isinstance(refused(tmp_path / "file"), StoreUnreachable)
    assert isinstance(refused(tmp_path, f"sqlite:///{tmp_path}/none/modelserve.db"), StoreUnreachable)


def test_a_store_that_another_program_has_locked_is_opened(path: Path) -> None:
    """H11."""
    with locked(path):
        Store.open("", path.parent).close()


def test_a_new_store_that_stays_locked_refuses_the_start(tmp_path: Path) -> None:
    """H11."""
    path = tmp_path / "modelserve.db"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("VACUUM")
    with locked(path):
        error = refused(tmp_path)
    assert isinstance(error, StoreUnreachable)
    assert "locked" in error.message


def test_servers_that_start_at_the_same_time_all_find_a_whole_store(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        commands = [[sys.executable, "-c", OPEN, str(tmp_path)]] * 4
        done = list(threads.map(lambda command: subprocess.run(command, capture_output=True, text=True), commands))
    assert [(process.returncode, process.stderr) for process in done] == [(0, "")] * 4


@pytest.mark.parametrize("url", ["mysql://u:geheim@h/d", "sqlite://", "sqlite:///:memory:", "geheim", "x://:geheim@:y"])
def test_an_address_of_no_database_is_refused_without_being_repeated(tmp_path: Path, url: str) -> None:
    error = refused(tmp_path, url)
    assert isinstance(error, StoreUnreachable)
    assert "postgresql+psycopg://" in error.message
    assert "geheim" not in error.message


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_postgresql_that_does_not_answer_refuses_the_start_after_a_while(tmp_path: Path, scheme: str) -> None:
    """H17."""
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}/jobs"
        begin = time.monotonic()
        error = refused(tmp_path, f"{scheme}://user:geheim@{where}?password=geheim", wait_s=1.0)
        waited_s = time.monotonic() - begin
    assert isinstance(error, StoreUnreachable)
    assert f"user:***@{where}" in error.message
    assert "refused" in error.message
    assert "geheim" not in error.message
    assert 0.2 < waited_s < 20


def test_without_psycopg_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = refused(tmp_path, "postgresql://user:geheim@127.0.0.1:1/jobs")
    assert isinstance(error, StoreUnreachable)
    assert "pip install 'modelserve[postgres]'" in error.message
    assert "geheim" not in error.message
