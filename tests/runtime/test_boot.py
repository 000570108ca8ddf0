"""What a worker is started with."""

from __future__ import annotations

import os
import resource
import signal

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


def test_memory_that_there_is_no_room_for_takes_no_descriptor() -> None:
    """Y25."""
    before, limit = os.listdir("/proc/self/fd"), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            Counter.memory()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir("/proc/self/fd") == before
