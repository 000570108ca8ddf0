"""That a hostile model cannot harm the machine that the tests run on."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.confined import REPOSITORY, confined
from tests.models.installed import side_log
from tests.running import Running, running

HOSTILE = '''
"""Tries what it is asked for, and answers with what the system said to it."""

import json
import os
import subprocess
from pathlib import Path

from modelserve.v2 import fields


class Hostile:
    def get_predict_args(self):
        return {"do": fields.Str(load_default="nothing"), "to": fields.Str(load_default="")}

    def predict(self, do, to):
        try:
            return {"did": getattr(self, do)(to)}
        except OSError as error:
            return {"refused": os.strerror(error.errno)}

    def nothing(self, to):
        return ""

    def write(self, to):
        Path(to).write_text("a hostile model was here")
        return to

    def send_signal(self, to):
        os.kill(int(to), 0)
        return to

    def run(self, to):
        done = subprocess.run(json.loads(to), capture_output=True, text=True)
        return [done.returncode, done.stdout]

    def capabilities(self, to):
        return [line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("Cap")]
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("confined")
    (folder / "hostile.py").write_text(HOSTILE)
    with running(["hostile.py:Hostile"], folder=folder, within=confined(folder, alone=True)) as server:
        yield server


def tried(server: Running, do: str, to: object = "") -> Any:
    """Return what became of what the model was asked to do."""
    reply = server.predict("hostile", {"do": do, "to": str(to)})
    assert reply.status == 200, reply.body
    return reply.json()["predictions"]


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr", "/var", "/opt", "~", str(REPOSITORY), sys.prefix, "/proc/sys"])
def test_a_hostile_model_writes_nothing_to_the_machine(server: Running, folder: str) -> None:
    target = Path(folder).expanduser() / f"hostile-{uuid.uuid4().hex}"
    try:
        assert "refused" in tried(server, "write", target)
        assert not target.exists()
    finally:
        target.unlink(missing_ok=True)


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/run", "/dev/shm"])
def test_where_everybody_may_write_it_writes_for_itself(server: Running, folder: str) -> None:
    target = Path(folder) / f"hostile-{uuid.uuid4().hex}"
    try:
        assert tried(server, "write", target) == {"did": str(target)}
        assert not target.exists()
    finally:
        target.unlink(missing_ok=True)
    own = server.temp / target.name
    assert tried(server, "write", own) == {"did": str(own)}
    assert own.exists(), "its own folder is the one that the test sees"


def test_it_sees_no_process_but_those_of_its_server(server: Running) -> None:
    assert tried(server, "send_signal", os.getpid()) == {"refused": "No such process"}
    assert tried(server, "send_signal", 1) == {"did": "1"}


@pytest.mark.parametrize(
    "command",
    [
        ["mount", "-o", "remount,bind,rw", "/"],
        ["umount", "/tmp"],
        ["unshare", "--user", "--keep-caps", "--mount", "mount", "-o", "remount,bind,rw", "/"],
        ["unshare", "--user", "--keep-caps", "--mount", "umount", "/tmp"],
        ["nsenter", "--target", "1", "--mount", "true"],
        ["setpriv", "--inh-caps=+sys_admin", "--ambient-caps=+sys_admin", "true"],
    ],
    ids=" ".join,
)
def test_it_cannot_take_back_what_was_taken_from_it(server: Running, command: list[str]) -> None:
    status, _ = tried(server, "run", json.dumps(command))["did"]
    assert status != 0
    assert set(tried(server, "capabilities")["did"]) == {"0" * 16}


def test_there_are_no_devices_to_write_to(server: Running) -> None:
    """A file system that is read-only would still leave them."""
    status, found = tried(server, "run", json.dumps(["find", "/dev", "-type", "b"]))["did"]
    assert (status, found) == (0, "")
    assert tried(server, "write", "/dev/null") == {"did": "/dev/null"}


def test_what_cannot_be_confined_does_not_run(packages: dict[str, Path], tmp_path: Path) -> None:
    """Neither unconfined nor skipped."""
    log, missing = tmp_path / "side.log", confined(tmp_path / "missing", seen=[packages["chaos"]])
    arguments: dict[str, Any] = {"folder": tmp_path, "visible": [packages["chaos"]], "env": {"CHAOS_LOG": str(log)}}
    with pytest.raises(AssertionError, match="exited with 1"), running(["chaos"], within=missing, **arguments):
        pass
    none_left = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"'
    without = ["unshare", "--user", "--map-root-user", "sh", "-c", none_left, "sh", *confined(tmp_path)]
    with pytest.raises(AssertionError, match="unshare failed"), running(["chaos"], within=without, **arguments):
        pass
    assert side_log(log) == []
