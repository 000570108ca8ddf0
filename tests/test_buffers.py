"""Memory for large bodies."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modelserve.buffers import KEPT_BYTES, new_buffer

KEEPS = """
import resource, sys
from modelserve.buffers import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
body = b"x" * 4_000_000
del body
before = faults()
for _ in range(20):
    body = b"x" * 4_000_000
    other = body + b"y"
    del body, other
print(faults() - before)
"""


@pytest.mark.parametrize("length", [0, 1, 1_000_000])
def test_a_new_buffer_is_a_bytearray_of_that_length_which_can_be_filled(length: int) -> None:
    buffer = new_buffer(length)
    assert type(buffer) is bytearray
    buffer[:] = b"x" * length
    assert buffer == b"x" * length


def test_memory_that_was_freed_is_used_again_without_asking_the_kernel() -> None:
    assert KEPT_BYTES > 8_000_000
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", KEEPS, how], capture_output=True, check=True).stdout)
        for how in ("keep", "give back")
    )
    assert kept < given_back / 4
