"""A worker whose way in is dead ends, and is replaced."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modelserve.runtime.vital import VITAL_EXIT

PROGRAM = """
import logging, threading
from modelserve.runtime.vital import start_vital
logging.basicConfig()
def work():
    {}
start_vital("intake", work)
threading.Event().wait(20)
"""


@pytest.mark.parametrize("fault", ["raise ValueError('a fault')", "raise SystemExit(0)"])
def test_the_process_ends_with_its_thread_and_says_why(fault: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(fault)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == VITAL_EXIT
    assert "the worker ends, since its thread intake has failed" in done.stderr
    assert fault.split()[1].partition("(")[0] in done.stderr


def test_a_thread_that_returns_ends_nothing() -> None:
    program = PROGRAM.format("pass").replace("wait(20)", "wait(0.2)")
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0
