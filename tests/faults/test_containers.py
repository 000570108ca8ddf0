"""A server as containers run it: any user, no home, nothing to write to but a temporary folder, the first process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from modelserve.runtime.devices import OTHER_THREAD_VARIABLES, THREAD_VARIABLES
from tests.faults.confined import confined
from tests.running import Running, eventually, import_path, running
from tests.runtime.test_cgroup import lay

USER = 4242
SHM_BYTES = 64 * 1024

# What would say where the user's own files are.
UNSET = [word for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR") for word in ("-u", name)]

MODEL = """
import mmap, os, pwd, tempfile
from modelserve.v2 import fields

def get_metadata():
    return {"name": "boxed", "description": "Says where it is."}

def get_predict_args():
    return {"what": fields.Str(load_default="place")}

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")

def predict(what):
    if what == "fill":
        with open("/dev/shm/filler", "w+b") as file:
            file.truncate(1 << 20)
            with mmap.mmap(file.fileno(), 1 << 20) as shared:
                shared.write(bytes(1 << 20))
    if what == "threads":
        return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    if what == "caches":
        for name in CACHES:
            os.makedirs(os.environ[name], exist_ok=True)
            open(os.path.join(os.environ[name], "compiled"), "a").close()
        return [os.environ[name] for name in CACHES]
    if what == "cpus":
        return len(os.sched_getaffinity(0))
    with tempfile.TemporaryFile():
        return [os.getuid(), os.getppid(), os.path.expanduser("~")]
"""


def boxed(folder: Path, groups: Path | None = None) -> list[str]:
    """Return the words to put in front of a command, for a container without anything."""
    within = confined(folder, alone=True, user=USER, shm_bytes=SHM_BYTES, groups=groups)
    return [*within, "env", *UNSET, "-u", "MODELSERVE_DATA_DIR"]


def said(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command there that ends by itself; return its status and what it says to standard error."""
    (folder / "boxed.py").write_text(MODEL)
    done = subprocess.run(
        [*boxed(folder), sys.executable, "-m", "modelserve", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": import_path(), "TMPDIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("boxed")
    (folder / "boxed.py").write_text(MODEL)
    with running(["boxed.py", "--no-train"], folder=folder, within=boxed(folder)) as server:
        yield server
        assert server.terminate(within_s=30) == 0


def test_without_jobs_a_server_needs_no_home_and_no_name(server: Running) -> None:
    """L4."""
    assert server.predict("boxed", {}).json()["predictions"] == [USER, 1, "~"]
    assert "this user has no home, and there is no data_dir" in server.log
    assert "Traceback" not in server.log


def test_what_libraries_compile_outlives_the_worker(server: Running) -> None:
    """L-12: without a home, those that keep it there too."""
    places = server.predict("boxed", {"what": "caches"}).json()["predictions"]
    server.workers()[0].kill()
    eventually(lambda: server.predict("boxed", {}).status == 200)
    assert server.predict("boxed", {"what": "caches"}).json()["predictions"] == places
    folder = server.temp / f"modelserve-cache-{USER}"
    assert all(Path(place).is_relative_to(folder) and Path(place, "compiled").exists() for place in places)


def test_a_model_that_fills_the_shared_memory_ends_its_worker_alone(server: Running) -> None:
    reply = server.predict("boxed", {"what": "fill"})
    assert (reply.status, reply.json()["code"]) == (500, "worker_died")
    eventually(lambda: server.predict("boxed", {}).status == 200)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["run", "--port", "0", "boxed.py"], 5, "There is no data folder, since this user has no home"),
        (["run", "--port", "0", "boxed.py", "--data-dir", "~/data"], 2, "data_dir given as --data-dir is '~/data'"),
        (["clients", "add", "ann"], 5, "There is no data folder, since this user has no home"),
    ],
    ids=["jobs", "tilde", "clients"],
)
def test_where_a_home_is_needed_one_sentence_says_so(
    tmp_path: Path, arguments: Sequence[str], status: int, words: str
) -> None:
    """L4."""
    found, text = said(tmp_path, *arguments)
    assert words in text
    assert (found, "Traceback" in text) == (status, False)
    assert not (tmp_path / "~").exists()


NOTHING = """
mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs tmpfs "$1"
for place in /tmp /var/tmp; do ! mountpoint -q $place || mount -o remount,bind,ro $place; done
mkdir "$1/tmp" && shift && exec "$@"
"""


def without_temporary_folder(folder: Path, *command: str) -> list[str]:
    """Return a command that finds everything read-only but a folder, in which it may be told to use ``tmp``."""
    spaces = ["unshare", "--map-root-user", "--mount", "sh", "-ec", NOTHING, "sh", str(folder / "place")]
    return [*spaces, "env", "-u", "TMPDIR", "-u", "XDG_RUNTIME_DIR", *command]


@pytest.mark.parametrize("command", ["run", "predict", "check", "train", "status"])
def test_where_nothing_can_be_written_one_sentence_says_so(tmp_path: Path, command: str) -> None:
    """L4: a read-only root, and no temporary folder."""
    (tmp_path / "place").mkdir()
    (tmp_path / "boxed.py").write_text(MODEL)
    model = [] if command == "status" else ["boxed.py"]
    program = [sys.executable, "-m", "modelserve", command, *model]
    done = subprocess.run(
        without_temporary_folder(tmp_path, *program),
        env={**os.environ, "PYTHONPATH": import_path()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode
    assert "modelserve: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_with_a_temporary_folder_of_its_own_needs_no_other(tmp_path: Path) -> None:
    """L4: there is no control socket then, which is a warning."""
    (tmp_path / "place").mkdir()
    (tmp_path / "boxed.py").write_text(MODEL)
    arguments = ["boxed.py", "--no-train", "--temp-dir", str(tmp_path / "place" / "tmp")]
    with running(arguments, folder=tmp_path, within=without_temporary_folder(tmp_path)) as server:
        assert server.predict("boxed", {}).status == 200
        assert "No control socket can be made" in server.log
        assert "Traceback" not in server.log


@pytest.mark.parametrize("command", ["predict", "check"])
def test_commands_that_keep_nothing_need_none(tmp_path: Path, command: str) -> None:
    """L4."""
    assert said(tmp_path, command, "boxed.py") == (0, "")


V1 = "40 32 0:40 /docker/9f /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu"
V2 = "31 23 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate"

LIMITED = {
    "v1": ("4:cpu:/docker/9f", V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}),
    "v2": ("0::/", V2, {"cpu.max": "100000 100000", "memory.max": str(512 << 20)}),
    "nested": ("0::/pod/box", V2, {"pod/box/cpu.max": "max 100000", "pod/cpu.max": "50000 100000"}),
}


@pytest.mark.parametrize("version", LIMITED)
def test_a_limit_to_the_time_of_the_cpus_is_one_to_the_threads_of_a_worker(tmp_path: Path, version: str) -> None:
    """L8."""
    groups = lay(tmp_path / "groups", *LIMITED[version])
    (tmp_path / "boxed.py").write_text(MODEL)
    unset = [word for name in (*THREAD_VARIABLES, *OTHER_THREAD_VARIABLES) for word in ("-u", name)]
    within = [*boxed(tmp_path, groups), *unset]
    with running(["boxed.py", "--no-train"], folder=tmp_path, within=within) as server:
        threads = server.predict("boxed", {"what": "threads"}).json()["predictions"]
        assert threads == {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        cpus = server.predict("boxed", {"what": "cpus"}).json()["predictions"]
        assert cpus == len(os.sched_getaffinity(0)), "other containers have the same CPUs"
        assert cpus == 1 or f" of {cpus} CPUs" in server.log
        assert version != "v2" or "512 MiB of memory" in server.log
