"""A process that steps back for others, with all its threads and what it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelserve.runtime.priority import NICE

LOWER = """
import json, os, subprocess, sys, threading
from modelserve.runtime import priority
over = threading.Event()
threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
priority.lower()
tasks = [int(name) for name in os.listdir("/proc/self/task")]
child = subprocess.run([sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True, text=True)
print(json.dumps({
    "nice": [os.getpriority(os.PRIO_PROCESS, task) for task in tasks],
    "batch": [os.sched_getscheduler(task) == os.SCHED_BATCH for task in tasks],
    "child": int(child.stdout),
    "session": open("/proc/self/autogroup").read() if os.path.exists("/proc/self/autogroup") else "",
}))
"""


def lowered() -> Any:
    # In a session of its own, as a worker is: this one's must not be lowered.
    command = [sys.executable, "-c", LOWER]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return json.loads(done.stdout)


def test_every_thread_and_every_child_steps_back() -> None:
    """F04."""
    found = lowered()
    assert found["nice"] == [NICE] * 4
    assert found["batch"] == [True] * 4
    assert found["child"] == NICE


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists() or not Path("/proc/self/autogroup").read_text(),
    reason="this kernel does not weigh sessions",
)
def test_the_session_steps_back_where_the_kernel_weighs_sessions() -> None:
    """F04."""
    assert f"nice {NICE}" in lowered()["session"]


def test_it_does_not_touch_others() -> None:
    before = os.nice(0), os.sched_getscheduler(0)
    lowered()
    assert (os.nice(0), os.sched_getscheduler(0)) == before
