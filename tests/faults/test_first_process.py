"""The server as the first process of a container, which the kernel gives all orphans to."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.faults.confined import confined
from tests.running import Running, eventually, running

MODEL = """
import subprocess

def get_metadata():
    return {"name": "parent", "description": "Leaves orphans."}

def predict():
    subprocess.run(["sh", "-c", "for i in 1 2 3 4 5; do sleep 0.1 & done"])
    return {"left": 5}
"""


def test_orphans_that_end_are_reaped(tmp_path: Path) -> None:
    """A19."""
    (tmp_path / "parent.py").write_text(MODEL)
    arguments = [str(tmp_path / "parent.py"), "--workers", "1"]
    with running(arguments, folder=tmp_path, within=confined(tmp_path, alone=True)) as server:
        eventually(lambda: server.get("/readyz").status == 200)
        assert server.predict("parent", {}).status == 200
        assert orphans(server)
        eventually(lambda: not orphans(server))
        server.workers()[0].kill()
        eventually(lambda: "worker killed by signal 9 (SIGKILL) while it ran no call" in server.log)
        eventually(lambda: server.predict("parent", {}).status == 200)
        assert server.terminate(within_s=30) == 0


def orphans(server: Running) -> set[psutil.Process]:
    """Return the children of the server, dead or alive, that it has not started itself."""
    return set(psutil.Process(server.pid).children()) - set(server.workers())
