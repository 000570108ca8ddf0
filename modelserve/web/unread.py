"""Tells how much of an answer is still on its way, so that a client that reads slowly is told from one that does not.

transport's own buffer + what the system holds until the client's system has taken it = what waits

A connection is writable again only once a third of what the system holds is gone, up to a megabyte. A client that reads
less than that within ``body_timeout_s`` looks there like one that reads nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

__all__ = ["held_by_system", "waiting_bytes"]


def waiting_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes wait for the client of a connection, wherever they are."""
    connection = transport.get_extra_info("socket")
    held = held_by_system(connection.fileno()) if connection is not None else 0
    return transport.get_write_buffer_size() + held


def held_by_system(descriptor: int) -> int:
    """Return how many bytes that a socket was given its other end has not taken; 0 where that cannot be told."""
    try:
        told = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it is closed
        return 0
    found: int = struct.unpack("i", told)[0]
    return found
