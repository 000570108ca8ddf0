"""Lets each client have so many reads at the store at once; others of the same client wait, and nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["READS_AT_ONCE", "Turns"]

# The store reads one after the other. Between two reads of one client each other client gets one in.
READS_AT_ONCE = 2


class _Turn:
    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)
        self.users = 0


class Turns:
    """The turns of all clients; one that waits for nothing takes no room.

    Args:
        most: How many turns a client has at once.
    """

    def __init__(self, most: int = READS_AT_ONCE) -> None:
        self._most = most
        self._turns: dict[str, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @contextlib.asynccontextmanager
    async def of(self, client: str) -> AsyncIterator[None]:
        """Hold a turn of a client for the block, once there is one."""
        turn = self._turns.setdefault(client, _Turn(self._most))
        turn.users += 1
        try:
            async with turn.places:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[client]
