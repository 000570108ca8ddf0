"""What a model prints reaches standard error at once, and harms nobody where it cannot be written."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
from modelserve.runtime.prints import print_anyway
print_anyway()
{more}
print("x" * 20_000)
print("naïve \\udc80", file=sys.stderr)
sys.stdout.write("no line end")
sys.stdout.flush()
print("last")
os._exit(7)
"""


def run(redirection: str, more: str = "") -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", PROGRAM.replace("{more}", more)]
    return subprocess.run(command, capture_output=True, check=False, timeout=30)


def test_what_is_printed_is_written_line_by_line() -> None:
    done = run("")
    assert done.stdout == b"x" * 20_000 + b"\nno line endlast\n"
    assert done.stderr == "naïve \\udc80\n".encode()
    assert done.returncode == 7, "nothing waited in a buffer for the end"


def test_what_cannot_be_written_raises_nothing() -> None:
    """G13 and I06."""
    assert run(">/dev/full 2>/dev/full").returncode == 7


def test_a_model_may_close_its_streams() -> None:
    """A18."""
    assert run("", "os.close(1); os.close(2)").returncode == 7
