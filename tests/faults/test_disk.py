"""A disk that is full, read-only or swept, and files that others left or planted. Rows I of the list of faults."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Chaos, Serve
from tests.faults.mounted import MAY_MOUNT, Mounted, mounted
from tests.models.installed import side_log
from tests.running import Reply, Running, eventually, multipart

MIB = 1024 * 1024
needs_mounts = pytest.mark.skipif(not MAY_MOUNT, reason="this system lets no user mount a file system")


def upload(server: Running, size: int, mode: str = "file", n: float = 0) -> Reply:
    body, kind = multipart({"mode": mode, "n": str(n)}, {"file": ("x.bin", b"x" * size, "application/octet-stream")})
    return server.request("POST", "/v2/models/chaos/predict/", body, {"Content-Type": kind})


def assert_no_space(reply: Reply) -> None:
    assert (reply.status, reply.json()["code"]) == (503, "no_space"), reply.body
    assert int(reply.headers["Retry-After"]) >= 1
    assert set(reply.json()) == {"message", "code", "request_id"}


def assert_json_is_served(server: Running) -> None:
    """Small and large bodies and answers go on, for nothing of them is written to the temporary folder."""
    assert server.predict("chaos", {}).status == 200
    large = "x" * (300 * 1024)
    assert server.predict("chaos", {"text": large}).json()["predictions"]["text"] == large


@pytest.fixture
def small(packages: dict[str, Path], tmp_path: Path) -> Iterator[Mounted]:
    """Yield a server with room for one megabyte of files."""
    log = tmp_path / "side.log"
    arguments = {"folder": tmp_path, "visible": [packages["chaos"]], "env": {"CHAOS_LOG": str(log)}}
    with mounted(["chaos"], size="1m", **arguments) as server, aftermath(server):  # type: ignore[arg-type]
        yield server


@needs_mounts
def test_an_upload_that_fills_the_disk_is_refused_and_leaves_nothing(small: Mounted, tmp_path: Path) -> None:
    """I01, by a full disk (ENOSPC)."""
    for _ in range(3):
        assert_no_space(upload(small, 3 * MIB))
        eventually(lambda: not small.uploads())
    assert not side_log(tmp_path / "side.log", "predict"), "the model was not called"
    assert_json_is_served(small)
    assert upload(small, MIB // 2).json()["predictions"]["size"] == MIB // 2


@needs_mounts
def test_while_the_disk_is_full_a_dead_worker_is_replaced_and_json_is_served(small: Mounted) -> None:
    """I01."""
    filler = small.fill()
    assert_no_space(upload(small, 100_000))
    assert_json_is_served(small)
    assert small.predict("chaos", {"mode": "exit3"}).status == 500
    assert_json_is_served(small)
    filler.unlink()
    assert upload(small, 100_000).status == 200


@needs_mounts
def test_a_disk_that_becomes_read_only_refuses_uploads_only(small: Mounted) -> None:
    """I02."""
    small.mount("ro")
    assert_no_space(upload(small, 1000))
    assert_json_is_served(small)
    small.mount("rw")
    assert upload(small, 1000).status == 200


@needs_mounts
def test_a_worker_that_dies_on_a_read_only_disk_is_back_when_it_can_be_written(small: Mounted) -> None:
    """I02."""
    small.mount("ro")
    assert small.predict("chaos", {"mode": "exit3"}).status == 500
    eventually(lambda: "Read-only file system" in small.log)
    small.mount("rw")
    eventually(lambda: small.predict("chaos", {}).status == 200, within_s=20)


@needs_mounts
def test_a_start_on_a_read_only_disk_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """I02."""
    script = 'mount -t tmpfs -o ro tmpfs "$1"; exec "$2" -m modelserve run plain --temp-dir "$1"'
    command = ["unshare", "-rm", "sh", "-ec", script, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=40)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("modelserve: temp_dir ")
    assert done.stderr.count("\n") == 1


def test_an_upload_beyond_the_largest_file_is_refused_and_leaves_nothing(chaos: Chaos) -> None:
    """I01, by a limit to the size of files (EFBIG)."""
    resource.prlimit(chaos.server.process.pid, resource.RLIMIT_FSIZE, (MIB, MIB))
    assert_no_space(upload(chaos.server, 3 * MIB))
    assert not chaos.events("predict")
    assert_json_is_served(chaos.server)
    assert upload(chaos.server, 1000).status == 200


def test_when_the_folder_of_the_run_is_swept_away_it_is_made_anew(chaos: Chaos) -> None:
    """I02."""
    (folder,) = chaos.server.temp.glob("modelserve-run-*")
    shutil.rmtree(folder)
    assert_json_is_served(chaos.server)
    assert upload(chaos.server, 1000).json()["predictions"]["folder_mode"] == "0o700"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_when_the_folder_of_the_run_is_swept_away_a_dead_worker_is_replaced(chaos: Chaos) -> None:
    """I02."""
    (folder,) = chaos.server.temp.glob("modelserve-run-*")
    shutil.rmtree(folder)
    assert chaos.server.predict("chaos", {"mode": "exit3"}).status == 500
    assert chaos.server.predict("chaos", {"mode": "out_ok", "n": 1000}).status == 200


def test_the_next_start_removes_what_a_killed_run_left_and_nothing_else(serve: Serve, tmp_path: Path) -> None:
    """I03."""
    killed = serve("chaos", CHAOS_LOG=str(tmp_path / "side.log"))
    foreign = killed.temp / "modelserve-results"
    foreign.mkdir()
    old = set(killed.temp.glob("modelserve-run-*"))
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(upload, killed, 100_000, "sleep", 300)
        eventually(lambda: len(killed.uploads()) == 2)
        family = killed.family()
        killed.process.kill()
    psutil.wait_procs(family, timeout=5)
    assert [path for path in old if path.exists()], "a killed process removes nothing"
    server = serve("chaos", CHAOS_LOG=str(tmp_path / "side.log"))
    assert not [path for path in old if path.exists()]
    assert foreign.exists()
    assert len(list(server.temp.glob("modelserve-run-*"))) == 1
    assert "removed 1 temporary folders" in server.log


def test_a_second_server_leaves_the_files_of_the_first_alone(serve: Serve, tmp_path: Path) -> None:
    """I03."""
    first = serve("chaos", CHAOS_LOG=str(tmp_path / "side.log"))
    folders = set(first.temp.glob("modelserve-run-*"))
    second = serve("chaos", TMPDIR=str(first.temp))
    assert folders < set(first.temp.glob("modelserve-run-*"))
    second.terminate(within_s=15)
    assert upload(first, 1000).status == 200


def test_links_that_somebody_planted_lead_nowhere(serve: Serve, tmp_path: Path) -> None:
    """I04."""
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o755)
    (precious / "file").write_text("x")
    (tmp_path / "tmp").mkdir()
    for name in ("modelserve-run-abcdefgh", f"modelserve-control-{os.getuid()}"):
        (tmp_path / "tmp" / name).symlink_to(precious)
    server = serve("chaos", XDG_RUNTIME_DIR="")
    assert upload(server, 1000).status == 200
    assert "No control socket can be made" in server.log
    assert server.terminate(within_s=15) == 0
    assert [path.name for path in precious.iterdir()] == ["file"]
    assert stat.S_IMODE(precious.stat().st_mode) == 0o755
