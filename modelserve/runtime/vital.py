"""Threads that a worker cannot do without: where one ends by an exception, so does the process, which is replaced.

A worker whose way in is dead looks idle and answers nothing. It says why in the log, and ends at once: what it ran is
told as of any worker that has died.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

__all__ = ["VITAL_EXIT", "start_vital"]

logger = logging.getLogger(__name__)

# The exit status then, which the server's log tells.
VITAL_EXIT = 70


def start_vital(name: str, work: Callable[[], None]) -> None:
    """Run work on a thread that does not keep the process from ending; when it returns, that is its end."""
    threading.Thread(target=_run, args=[name, work], name=name, daemon=True).start()


def _run(name: str, work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        logger.critical("the worker ends, since its thread %s has failed", name, exc_info=True)
        logging.shutdown()
        os._exit(VITAL_EXIT)
