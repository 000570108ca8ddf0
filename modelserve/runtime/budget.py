"""How often workers may be replaced: so many a minute for a deployment, and three device exits for a GPU.

Both are counts over a sliding window, so a fault that has stopped is forgiven by itself: when the oldest replacement
leaves the window, one more is tried, and if its worker lives the deployment serves again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Budget", "Gpus"]

logger = logging.getLogger(__name__)

WINDOW_S = 60.0

# A GPU from which so many workers have fled within an hour is taken for broken.
DEVICE_EXITS = 3
DEVICE_WINDOW_S = 3600.0


class Budget:
    """So many replacements in any minute.

    Args:
        limit: How many, at least 1.
        clock: Returns the time in seconds; monotonic.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._spent: deque[float] = deque()

    def wait_s(self) -> float:
        """Return in how many seconds the next replacement is allowed, 0 for now."""
        now = self._clock()
        while self._spent and self._spent[0] <= now - WINDOW_S:
            self._spent.popleft()
        return 0.0 if len(self._spent) < self._limit else self._spent[-self._limit] + WINDOW_S - now

    def spend(self) -> None:
        """Note a replacement."""
        self._spent.append(self._clock())


class Gpus:
    """The GPUs of a server by their health: one from which workers flee again and again is used no more.

    Args:
        clock: Returns the time in seconds; monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._exits: dict[str, deque[float]] = {}
        self._failed: set[str] = set()
        self._forgiven = asyncio.Event()

    @property
    def failed(self) -> list[str]:
        """The names of those taken for broken."""
        return sorted(self._failed)

    def note_exit(self, gpu: str) -> None:
        """Note that a worker left this GPU because every further call on it fails."""
        if not gpu or gpu in self._failed:
            return
        exits = self._exits.setdefault(gpu, deque(maxlen=DEVICE_EXITS))
        exits.append(self._clock())
        if len(exits) == DEVICE_EXITS and exits[-1] - exits[0] <= DEVICE_WINDOW_S:
            self._failed.add(gpu)
            logger.error("GPU %s has failed: %d workers had to leave it; no worker is started on it", gpu, len(exits))

    def forgive(self) -> None:
        """Try all of them again."""
        self._exits.clear()
        self._failed.clear()
        self._forgiven.set()
        self._forgiven = asyncio.Event()

    async def forgiven(self, gpu: str) -> None:
        """Wait until a GPU is no longer taken for broken."""
        while gpu in self._failed:
            await self._forgiven.wait()
