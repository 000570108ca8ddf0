"""What a worker is started with."""

from __future__ import annotations

import os

import pytest

from modelserve.runtime.boot import Counter


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_no_worker_can_take_the_memory_of_its_counter_away(size: int) -> None:
    """X7: the server reads it, and would be killed where there is none any more."""
    memory = Counter.memory()
    counter = Counter(memory)
    with pytest.raises(PermissionError):
        os.truncate(memory, size)
    os.close(memory)
    counter.value = 7
    assert counter.value == 7
    counter.close()
