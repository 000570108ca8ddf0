"""How many connections fit into the open files of a process, in real processes with real limits."""

from __future__ import annotations

import subprocess
import sys

import pytest

TELL = """
import resource, sys
from modelserve.errors import SettingsError
from modelserve.open_files import count_connections, raise_limit
soft, hard, wanted = map(int, sys.argv[1:4])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
raise_limit(wanted)
try:
    print(count_connections(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except SettingsError as error:
    print(error.message)
"""


def told(soft: int, hard: int, wanted: int) -> str:
    command = [sys.executable, "-c", TELL, str(soft), str(hard), str(wanted)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "answer"),
    [
        (256, 1128, 0, "500 1128"),  # as many as fit into what the system allows
        (256, 1128, 100, "100 328"),  # no more files than these need
        (1000, 1000, 100, "100 1000"),  # the limit is never lowered
    ],
)
def test_the_limit_is_raised_as_far_as_connections_need_it(soft: int, hard: int, wanted: int, answer: str) -> None:
    """E08, E09."""
    assert told(soft, hard, wanted) == answer


def test_more_connections_than_open_files_are_refused_with_what_would_be_right() -> None:
    """E09."""
    sentence = told(256, 1000, 1000)
    assert "may have 1000 files open, but 1000 connections need 2128" in sentence
    assert "ulimit -n 2128" in sentence
    assert "but 8 connections need 144" in told(130, 130, 8)
