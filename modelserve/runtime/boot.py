"""What a worker is started with, as both sides of the border see it.

    server: pack(paths, boot) --> [channel] --> entry.py reads the paths, then unpack() the rest --> worker.py

The import paths go first and as plain text: the library that reads the rest may lie on one of them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket

import msgspec

from modelserve.runtime.interface import WorkerSpec

__all__ = ["LENGTH_BYTES", "AddedPaths", "Boot", "Counter", "pack", "unpack"]

# Each part is preceded by its length, a big-endian number of so many bytes. Also in entry.py, which must not import.
LENGTH_BYTES = 8


class Boot(msgspec.Struct, frozen=True):
    """What a worker is started with, besides its descriptors.

    ``scratch`` is the folder for its temporary files. ``log_mark`` begins each record of its log where the server hears
    it, "" where nobody does.
    """

    spec: WorkerSpec
    scratch: str
    log_mark: str = ""


class Counter:
    """A 64-bit number in memory that a worker and the server share; the worker alone writes it.

    Args:
        end: A descriptor of the memory, which may be closed once the counter is made.
    """

    __slots__ = ("_map", "_view")

    def __init__(self, end: int) -> None:
        self._map = mmap.mmap(end, mmap.PAGESIZE)
        self._view = memoryview(self._map).cast("Q")

    @property
    def value(self) -> int:
        """The number; it is read and written whole, since a processor moves eight aligned bytes at once."""
        return self._view[0]

    @value.setter
    def value(self, number: int) -> None:
        self._view[0] = number

    def close(self) -> None:
        """Give the memory back, and keep the number as it is now."""
        last = self._view[:1].tobytes()
        self._view.release()
        self._map.close()
        self._view = memoryview(bytearray(last)).cast("Q")

    @staticmethod
    def memory() -> int:
        """Return a descriptor of new memory for one counter, which begins at 0. The caller closes it.

        Its size cannot be changed: who reads memory that somebody else has cut off is killed.
        """
        end = os.memfd_create("modelserve-begun", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.truncate(end, mmap.PAGESIZE)
            fcntl.fcntl(end, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        except BaseException:
            os.close(end)
            raise
        return end


class AddedPaths(msgspec.Struct, frozen=True):
    """The folders that the server's program added to its interpreter's own import path, before and behind it."""

    front: list[str]
    back: list[str]


def pack(paths: AddedPaths, boot: Boot) -> bytes:
    """Return what the server sends first."""
    parts = [os.fsencode("\0".join(part)) for part in (paths.front, paths.back)] + [msgspec.msgpack.encode(boot)]
    return b"".join(len(part).to_bytes(LENGTH_BYTES, "big") + part for part in parts)


def unpack(channel: socket.socket) -> Boot:
    """Receive the last part, in the worker.

    Raises:
        EOFError: The server has gone.
    """
    size = int.from_bytes(_receive(channel, LENGTH_BYTES), "big")
    return msgspec.msgpack.decode(_receive(channel, size), type=Boot)


def _receive(channel: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        got = channel.recv_into(rest)
        if not got:
            raise EOFError("the server has gone")
        rest = rest[got:]
    return data
