"""The room that a server has for bodies and answers as a whole, and who makes room when there is none.

    Room <- Guest.take: fits -> held      does not fit -> the slowest guests are cut -> fits, or NoSpace for this one

A guest that moves at less than 64 KiB a second is slow. While there is room, nobody is hurried; once there is none,
those who only occupy it make way, the slowest first, and one that moves is refused only where none of them is left.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

from modelserve.errors import NoSpace
from modelserve.held import Bound
from modelserve.settings import Settings

__all__ = ["Guest", "Room", "Rooms"]

# A guest that has not moved so many bytes for so long makes way: 64 KiB/s.
STEP_BYTES = 64 * 1024
SLOW_S = 1.0


class Room:
    """So many bytes for all guests together.

    Args:
        bound: How many.
    """

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self._guests: set[Guest] = set()

    def guest(self, cut: Callable[[], None]) -> Guest:
        """Return a new guest, who holds nothing yet.

        Args:
            cut: Called where it has to make way; what it held is given back already.
        """
        return Guest(self, cut)

    def admit(self, guest: Guest, size: int, *, is_urgent: bool) -> bool:
        """Give a guest so many bytes more; tell whether there was room, where it is urgent after others were cut."""
        self._guests.add(guest)
        if self.bound.take(size):
            return True
        if not is_urgent:
            return False
        for slow in self._slow(guest):
            slow.make_way()
            if self.bound.take(size):
                return True
        return False

    def release(self, guest: Guest, size: int) -> None:
        """Take bytes back from a guest."""
        self.bound.give(size)
        if guest.size == 0:
            self._guests.discard(guest)

    def settle(self, guest: Guest) -> None:
        """A guest is never cut from now on."""
        self._guests.discard(guest)

    def _slow(self, newest: Guest) -> list[Guest]:
        limit = time.monotonic() - SLOW_S
        slow = [guest for guest in self._guests if guest is not newest and guest.moved_s() <= limit and guest.size]
        return sorted(slow, key=Guest.moved_s)


class Guest:
    """What one body or answer holds of a room, as a context that gives it back, once, however it ends."""

    __slots__ = ("_cut", "_moved", "_moved_s", "_room", "size")

    def __init__(self, room: Room, cut: Callable[[], None]) -> None:
        self._room = room
        self._cut = cut
        self._moved = 0
        self._moved_s = time.monotonic()
        self.size = 0

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def moved_s(self) -> float:
        """Return when it has last moved as much as one that is not slow does within a second."""
        return self._moved_s

    def move(self, size: int) -> None:
        """Note that so many bytes have come, or gone."""
        self._moved += size
        if self._moved >= STEP_BYTES:
            self._moved = 0
            self._moved_s = time.monotonic()

    def take(self, size: int, *, is_urgent: bool = True) -> bool:
        """Hold so many bytes more, unless there is no room for them; where it is not urgent, nobody makes way."""
        if not self._room.admit(self, size, is_urgent=is_urgent):
            return False
        self.size += size
        return True

    def add(self, size: int, *, is_urgent: bool = True) -> None:
        """Hold so many bytes more whatever the room: they are there already. Where it is urgent, slow ones make way."""
        if not self.take(size, is_urgent=is_urgent):
            self._room.bound.add(size)
            self.size += size

    def hold(self, size: int) -> None:
        """Hold so many bytes, more or less than before.

        Raises:
            NoSpace: There is no room for them.
        """
        if size > self.size:
            if not self.take(size - self.size):
                raise NoSpace("The server has no room for this request at the moment; come again.")
        else:
            self._give(self.size - size)

    def settle(self) -> None:
        """Stay until it is closed: it has come whole."""
        self._room.settle(self)

    def make_way(self) -> None:
        """Give everything back, and end what held it."""
        self.close()
        self._cut()

    def close(self) -> None:
        """Give everything back; a second time there is nothing."""
        self._give(self.size)

    def _give(self, size: int) -> None:
        self.size -= size
        self._room.release(self, size)


@dataclasses.dataclass(frozen=True)
class Rooms:
    """The rooms of one server: memory for bodies that come, disk for files, memory for answers that go."""

    receiving: Room
    files: Room
    sending: Room

    @classmethod
    def of(cls, settings: Settings, deployments: Iterable[str] = ()) -> Rooms:
        """Return the rooms that the settings say; at least one body, form or answer of any deployment fits."""
        each = [settings, *(settings.of(name) for name in deployments)]
        receiving = max(settings.max_receiving_bytes, *(one.max_body_bytes for one in each))
        files = max(settings.max_files_bytes, *(one.max_upload_bytes for one in each))
        sending = max(settings.max_sending_bytes, *(one.max_answer_bytes for one in each))
        return cls(Room(Bound("receiving", receiving)), Room(Bound("files", files)), Room(Bound("sending", sending)))

    def bounds(self) -> list[Bound]:
        """Return their bounds, for the metrics."""
        return [self.receiving.bound, self.files.bound, self.sending.bound]
