"""The log goes into a pipe that nobody reads, as with ``| less`` or a container's blocking log. Row Y20."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.program import environment
from tests.faults.test_loading import free_port
from tests.faults.test_log_disk import is_ready, lost_records
from tests.running import Running, eventually

# A call of it fails with a long traceback, or prints a lot.
MODEL = """
import sys
def get_predict_args():
    from modelserve.v2 import fields
    return {"lines": fields.Int(load_default=0)}
def predict(lines):
    if not lines:
        raise ValueError("a fault " * 300)
    for _ in range(lines):
        print("progress " * 500)
    return 1
"""

PIPE_BYTES = 4096


class Unread:
    """A server whose standard output and error are a pipe that is read only when a test does."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / "talker.py").write_text(MODEL)
        port = free_port()
        self.end, theirs = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        command = [sys.executable, "-m", "modelserve", "run", "talker.py", "--port", str(port), *arguments]
        process = subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.server = Running(process, folder)
        self.server.port = port
        self.said = bytearray()

    def read(self) -> threading.Thread:
        """Read the log from now on, on a thread that ends with it."""

        def read() -> None:
            while piece := os.read(self.end, 65536):
                self.said += piece

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread


@pytest.fixture(params=[(), ("--access-log", "--log-format", "json")], ids=["text", "json and access log"])
def unread(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Unread]:
    """Yield a server whose pipe is full."""
    found = Unread(tmp_path, *request.param)
    try:
        eventually(lambda: is_ready(found.server), within_s=40)
        for _ in range(10):
            assert found.server.predict("talker", {}).status == 500
        yield found
    finally:
        found.server.close()
        os.close(found.end)


def room(server: Running) -> float:
    """Return how many bytes of the log may still wait."""
    text = server.get("/metrics").body.decode()
    limit, held = (
        float(re.findall(rf'^{name}{{what="logs"}} (\S+)', text, re.M)[0])
        for name in ("modelserve_held_limit_bytes", "modelserve_held_bytes")
    )
    return limit - held


def test_a_log_that_nobody_reads_holds_up_neither_calls_nor_prints_nor_the_end(unread: Unread) -> None:
    """Y20."""
    server = unread.server
    assert server.predict("talker", {"lines": 600}).status == 200  # 2.7 MB, through the thread that reads workers
    assert server.predict("talker", {}).status == 500
    assert server.get("/readyz").status == 200
    worker = server.workers()[0]
    worker.kill()
    eventually(lambda: server.predict("talker", {"lines": 1}).status == 200)
    family = server.family()
    assert server.terminate(within_s=15) == 0
    assert not psutil.wait_procs(family, timeout=5)[1]


def test_what_waited_is_written_once_somebody_reads_and_what_was_lost_is_said(unread: Unread) -> None:
    """Y20."""
    server = unread.server
    eventually(lambda: server.predict("talker", {"lines": 900}).status != 200 or room(server) < 5000, within_s=60)
    before = lost_records(server)
    for _ in range(5):
        assert server.predict("talker", {}).status == 500
    assert lost_records(server) > before
    assert room(server) >= 0
    reading = unread.read()
    eventually(lambda: b"were not read or written in time" in unread.said, within_s=30)
    assert room(server) > 1_000_000
    assert server.predict("talker", {}).status == 500
    assert server.terminate(within_s=15) == 0
    reading.join(10)
    said = unread.said.decode()
    assert said.endswith(" stopped\n") or json.loads(said.splitlines()[-1])["message"] == "stopped"
    assert sum(map(int, re.findall(r"(\d+) records of the log were left out, since", said))) >= 5


def test_all_that_waits_is_written_at_the_end(tmp_path: Path) -> None:
    """Y20."""
    found = Unread(tmp_path)
    try:
        eventually(lambda: is_ready(found.server), within_s=40)
        for _ in range(50):
            assert found.server.predict("talker", {}).status == 500
        found.server.process.terminate()
        reading = found.read()
        assert found.server.process.wait(15) == 0
        reading.join(10)
    finally:
        found.server.close()
        os.close(found.end)
    assert found.said.count(b"  ValueError: a fault") == 50
    assert bytes(found.said).endswith(b" stopped\n")
    assert f"modelserve ready on http://127.0.0.1:{found.server.port}".encode() in found.said
