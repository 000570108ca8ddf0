"""Memory for large bodies: buffers that are not cleared before they are filled, and freed memory that is kept.

Both are about pages. To clear 4 MiB, and to have the kernel give the same memory anew for each body and take it back,
cost the server more than to receive them.
"""

from __future__ import annotations

import ctypes
from typing import cast

__all__ = ["keep_freed_memory", "new_buffer"]

# <malloc.h> of the GNU C library; see mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# Freed memory at the end of the heap is given back once there is more of it. By default it is twice the largest block
# that was freed lately, so that a body of some megabytes is given back as soon as it is sent.
KEPT_BYTES = 16 * 1024 * 1024

# Larger blocks never come from the heap, so they are given back at once; the largest value that mallopt takes.
HEAP_BYTES = 32 * 1024 * 1024

_new = ctypes.pythonapi.PyByteArray_FromStringAndSize
_new.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]
_new.restype = ctypes.py_object


def new_buffer(length: int) -> bytearray:
    """Return a bytearray that holds anything; it must be filled before anybody reads it."""
    return cast(bytearray, _new(None, length))


def keep_freed_memory() -> None:
    """Have this process keep up to ``KEPT_BYTES`` of freed memory; does nothing where the C library cannot."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, HEAP_BYTES)
