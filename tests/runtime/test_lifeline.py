"""The lifeline: a worker and its children end with the server, whatever they are doing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SCRIPT = """
import os, subprocess, sys, time
from modelserve.runtime import lifeline
theirs, ours = os.pipe()
if os.fork() == 0:
    os.close(ours)
    lifeline.hold(theirs)
    child = subprocess.Popen(["sleep", "300"])
    print(os.getpid(), child.pid, flush=True)
    {busy}
time.sleep(300)
"""

BUSY = {
    "sleeping": "time.sleep(300)",
    "in C code that holds the interpreter lock": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
    "ignoring signals": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(300)",
}


@pytest.mark.parametrize("busy", BUSY)
def test_killing_the_server_ends_a_worker_and_its_child_while_it_is(busy: str, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SCRIPT.format(busy=BUSY[busy]))
    server = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    family = [psutil.Process(int(pid)) for pid in server.stdout.readline().split()]
    server.kill()
    server.wait()
    server.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=2)
    assert not alive


def test_a_worker_that_starts_after_the_server_has_gone_ends_at_once(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(
        "import os\nfrom modelserve.runtime import lifeline\nr, w = os.pipe()\nos.close(w)\nlifeline.hold(r)"
    )
    since = time.monotonic()
    done = subprocess.run([sys.executable, str(script)], check=False, timeout=30, start_new_session=False)
    assert done.returncode in (1, -9)
    assert time.monotonic() - since < 20


TIED = """
import os, subprocess, time
from modelserve.runtime import lifeline
theirs, ours = os.pipe()
child = subprocess.Popen(["sleep", "300"], pass_fds=[theirs], start_new_session=True)
lifeline.tie(theirs, child.pid)
os.close(theirs)
print(child.pid, flush=True)
time.sleep(300)
"""


def test_a_worker_that_never_gets_to_run_code_of_ours_ends_with_the_server(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(TIED)
    server = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    worker = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    server.stdout.close()
    _, alive = psutil.wait_procs([worker], timeout=2)
    assert not alive
