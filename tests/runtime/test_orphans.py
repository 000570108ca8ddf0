"""What a first process reaps: dead children of its own and no others."""

from __future__ import annotations

import os
import subprocess
import sys

from modelserve.runtime.orphans import dead_children
from tests.running import eventually


def test_children_that_are_dead_and_not_waited_for_are_found_whatever_their_name() -> None:
    """A19."""
    dead, living = (subprocess.Popen([sys.executable, "-c", program]) for program in (NAMED, SLEEPING))
    try:
        eventually(lambda: dead.pid in dead_children())
        assert not {living.pid, os.getpid()} & dead_children()
    finally:
        living.kill()
        living.wait()
        dead.wait()
    assert dead.pid not in dead_children()


NAMED = "open('/proc/self/comm', 'w').write(') Z 1 (')"
SLEEPING = "import time; time.sleep(100)"
