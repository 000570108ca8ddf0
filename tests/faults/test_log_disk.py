"""A log that cannot be written, or whose reader has gone: the calls are answered all the same. Rows G13 and I06."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.program import environment
from tests.faults.test_loading import free_port
from tests.running import Running, eventually

# It prints more than the buffer of a stream holds, as a model does that shows its progress.
MODEL = """
import logging, sys
logging.basicConfig(level=logging.INFO)
def predict():
    print("progress " * 5000)
    print("a warning " * 100, file=sys.stderr)
    sys.stdout.write("and no line end")
    sys.stdout.flush()
    logging.info("done")
    return 1
"""

REDIRECTIONS = {
    "closed": "<&- >&- 2>&-",
    "full": ">/dev/full 2>/dev/full",
    "gone": "> >(exit) 2> >(exit)",
}


@pytest.fixture(params=REDIRECTIONS)
def unheard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """Yield a server whose output and log cannot be written."""
    (tmp_path / "talker.py").write_text(MODEL)
    port = free_port()
    line = f"exec {sys.executable} -m modelserve run talker.py --port {port} {REDIRECTIONS[request.param]}"
    process = subprocess.Popen(["bash", "-c", line], cwd=tmp_path, env=environment(tmp_path), start_new_session=True)
    server = Running(process, tmp_path)
    server.port = port
    try:
        eventually(lambda: is_ready(server), within_s=40)
        yield server
    finally:
        server.close()


def is_ready(server: Running) -> bool:
    try:
        return server.get("/readyz").status == 200
    except ConnectionRefusedError:
        return False


def lost_records(server: Running) -> float:
    found = re.search(r"^modelserve_log_records_lost_total (\S+)", server.get("/metrics").body.decode(), re.MULTILINE)
    assert found
    return float(found[1])


def test_a_model_that_prints_where_nothing_can_be_written_answers(unheard: Running) -> None:
    """G13, I06."""
    for _ in range(5):
        assert unheard.predict("talker", {}).status == 200
    (worker,) = unheard.workers()
    worker.kill()
    assert unheard.predict("talker", {}).status == 200
    family = unheard.family()
    assert unheard.terminate(within_s=15) == 0
    assert not psutil.wait_procs(family, timeout=5)[1]


def test_records_that_cannot_be_written_are_counted(unheard: Running, request: pytest.FixtureRequest) -> None:
    """I06."""
    before = lost_records(unheard)
    unheard.workers()[0].kill()
    eventually(lambda: unheard.predict("talker", {}).status == 200)
    is_closed = "closed" in request.node.callspec.id  # there is no log then, as the operator wanted
    assert (lost_records(unheard) > before) is not is_closed
