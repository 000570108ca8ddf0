"""A slot keeps one worker of a deployment alive: it starts it, and replaces it, warm, when it has died.

    start -> warm -> lost -> back off -> start -> ...

The first replacement comes at once; while workers keep dying young, the pause doubles up to half a minute, so that a
deadly request sent over and over does not become a storm of starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from modelserve.messages import Description, Failed
from modelserve.runtime.interface import Listener, Replica, StartFailed

__all__ = ["Owner", "Slot"]

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0

# A worker that lived this long did not die of its start, so the next one is started without a pause again.
GROWN_UP_S = 30.0


class Owner(Listener, Protocol):
    """A listener that is also told of warm workers."""

    @property
    def name(self) -> str:
        """The deployment's name."""

    def warm(self, replica: Replica, description: Description) -> None:
        """A worker is warm."""

    def failed(self, failed: Failed) -> None:
        """A worker could not start."""


class Slot:
    """One worker's place.

    Args:
        make_replica: Returns a new replica for this place, not started yet.
    """

    def __init__(self, make_replica: Callable[[], Replica]) -> None:
        self._make_replica = make_replica
        self._replica: Replica | None = None
        self._gone = asyncio.Event()
        self._warm_since: float | None = None
        self._early_deaths = 0

    async def start(self, owner: Owner) -> Failed | None:
        """Start a worker; return None once it is warm, or why it could not start, which is logged here."""
        self._replica = self._make_replica()
        self._gone.clear()
        self._warm_since = None
        try:
            description = await self._replica.start(owner)
        except StartFailed as error:
            self._gone.set()
            self._log_failure(owner, self._replica, error.failed)
            owner.failed(error.failed)
            return error.failed
        self._warm_since = asyncio.get_running_loop().time()
        owner.warm(self._replica, description)
        return None

    async def keep(self, owner: Owner) -> None:
        """Replace the worker each time it is gone, until cancelled."""
        while True:
            await self._gone.wait()
            await asyncio.sleep(self._next_pause_s())
            await self.start(owner)

    def lost(self, replica: Replica) -> None:
        """Note that a worker has died, if it was this slot's."""
        if replica is self._replica:
            self._gone.set()

    async def stop(self, wait_s: float) -> None:
        """End the worker."""
        if self._replica is not None:
            await self._replica.stop(wait_s)

    def _next_pause_s(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._warm_since is not None and now - self._warm_since > GROWN_UP_S:
            self._early_deaths = 0
        pause_s = FIRST_PAUSE_S * 2 ** min(self._early_deaths - 1, 10) if self._early_deaths else 0.0
        self._early_deaths += 1
        return min(pause_s, LONGEST_PAUSE_S)

    def _log_failure(self, owner: Owner, replica: Replica, failed: Failed) -> None:
        extra = {"deployment": owner.name, "worker": replica.name, "traceback": failed.traceback}
        logger.error("model could not start (%s): %s", failed.stage, failed.message, extra=extra)
