"""Says once that the store of jobs is out of order, and once that it works again."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from modelserve.errors import ModelserveError, Unavailable

__all__ = ["Outage"]

logger = logging.getLogger(__name__)


# Some statements may work while others do not; it works again when none has failed for so long.
QUIET_S = 10.0


class Outage:
    """What is known of the store's health, by all that use it in the background.

    Args:
        quiet_s: How long nothing may have failed before the store works again.
        consequence: What that means meanwhile, in words that follow "and".
    """

    def __init__(self, quiet_s: float = QUIET_S, *, consequence: str = "jobs wait") -> None:
        self._quiet_s = quiet_s
        self._consequence = consequence
        self._is_on = False
        self._last_s = 0.0

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """Use the store in the block; that it is unavailable ends the block and is no error."""
        try:
            yield
        except Unavailable as error:
            self.begin(error)
        else:
            self.end()

    def begin(self, error: ModelserveError) -> None:
        """It did not work."""
        self._last_s = time.monotonic()
        if not self._is_on:
            self._is_on = True
            told = error.log or error.message
            logger.warning("the store of jobs is unavailable, and %s: %s", self._consequence, told)

    def end(self) -> None:
        """It did."""
        if self._is_on and time.monotonic() - self._last_s > self._quiet_s:
            self._is_on = False
            logger.info("the store of jobs is available again")
