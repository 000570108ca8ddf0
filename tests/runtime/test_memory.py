"""The memory of a process, as the kernel tells it."""

from __future__ import annotations

import os

import psutil

from modelserve.runtime.memory import rss_bytes


def test_it_is_what_psutil_says() -> None:
    told = psutil.Process().memory_info().rss
    assert abs(rss_bytes(os.getpid()) - told) < 8 * 1024**2


def test_a_process_that_is_not_there_has_none() -> None:
    assert rss_bytes(0) == 0
    assert rss_bytes(2**22 + 1) == 0
