"""Reads the resident memory of a process of this machine."""

from __future__ import annotations

import os
import resource

__all__ = ["rss_bytes"]

_PAGE_BYTES = resource.getpagesize()


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 where there is no such process. Takes some microseconds."""
    try:
        descriptor = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(descriptor, 256).split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):  # it ended meanwhile
        return 0
    finally:
        os.close(descriptor)
