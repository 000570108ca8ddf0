"""Runs the server's own threads and long tasks: one that ends by an exception is logged, counted and started again.

    work -> returns: it is over
         -> raises:  logged, counted by its part, and after a pause that grows from 0.1 s to 10 s: work, once more

The server has one supervisor, which is handed to whatever starts a thread or a task. The work keeps its state outside
of the function that is run, so that the next run goes on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

__all__ = ["Supervised", "Supervisor"]

logger = logging.getLogger(__name__)

# The pauses before work is started again, each twice the one before; the first again for what ran well for a while.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
WELL_S = 30.0

# What the event loop, a thread or the collector tells of an exception that nobody handled.
UNHANDLED = "unhandled"


class Supervisor:
    """Counts the failures of one server's parts, and makes what is started again.

    The name of a part is the value of a label of the metrics: each is written in the code and made of nothing else.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finalizer that fails may come in between
        self._counts = {UNHANDLED: 0}

    def failures(self) -> Mapping[str, int]:
        """Return how often each part has failed so far; a part that was only started has 0."""
        with self._lock:
            return dict(self._counts)

    def failed(self, part: str, error: BaseException | None = None, *, what: str = "", **fields: Any) -> None:
        """Count a failure, and log it with its traceback, what has failed, and further fields; from any thread."""
        with self._lock:
            self._counts[part] = self._counts.get(part, 0) + 1
        logger.error(
            what or "a part of the server has failed, and goes on", exc_info=error, extra={**fields, "part": part}
        )

    def expect(self, *parts: str) -> None:
        """Have parts there from now on, with 0, that tell of their failures themselves."""
        with self._lock:
            for part in parts:
                self._counts.setdefault(part, 0)

    def thread(self, part: str, work: Callable[[], None]) -> Supervised:
        """Return a thread that runs this, and is not started yet."""
        self.expect(part)
        return Supervised(self, part, work)

    def task(self, part: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start a task that runs this; cancelling it is the end."""
        self.expect(part)
        return asyncio.create_task(self._keep(part, work), name=part)

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """Hear of every exception that nobody handles in the running event loop, in a thread or in a finalizer."""
        loop = asyncio.get_running_loop()
        before = (loop.get_exception_handler(), threading.excepthook, sys.unraisablehook)
        is_over = False

        # Of several servers of one program, the first to end may not be the last that came: its hooks stay below those
        # of the other then, and hand on what they are told.
        def on_thread(told: threading.ExceptHookArgs) -> None:
            before[1](told) if is_over else self._on_thread(told)

        def on_unraisable(told: sys.UnraisableHookArgs) -> None:
            before[2](told) if is_over else self._on_unraisable(told)

        loop.set_exception_handler(self._on_loop)
        threading.excepthook, sys.unraisablehook = on_thread, on_unraisable
        try:
            yield
        finally:
            is_over = True
            loop.set_exception_handler(before[0])
            if threading.excepthook is on_thread:
                threading.excepthook = before[1]
            if sys.unraisablehook is on_unraisable:
                sys.unraisablehook = before[2]

    async def _keep(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        pauses = _Pauses()
        while True:
            try:
                return await work()
            except Exception as error:
                self.failed(part, error)
            await asyncio.sleep(pauses.next_s())

    def _on_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failed(UNHANDLED, context.get("exception"), what=f"in the event loop: {context.get('message', '')}")

    def _on_thread(self, told: threading.ExceptHookArgs) -> None:
        name = "" if told.thread is None else told.thread.name
        self.failed(UNHANDLED, told.exc_value, what=f"a thread has ended by an exception: {name}")

    def _on_unraisable(self, told: sys.UnraisableHookArgs) -> None:
        # The object is not kept, and not shown: its text may raise.
        self.failed(UNHANDLED, told.exc_value, what=told.err_msg or "an exception was ignored")


class Supervised:
    """One thread of the server. It does not keep the process from ending."""

    def __init__(self, supervisor: Supervisor, part: str, work: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._part = part
        self._work = work
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=part, daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def close(self, wait_s: float | None = None) -> bool:
        """Start it no more, and wait until its work has returned, which is to be told so before.

        Returns:
            Whether it has within the time; None is as long as it takes.
        """
        self._is_over.set()
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pauses = _Pauses()
        while True:
            try:
                self._work()
                return
            except BaseException as error:  # SystemExit too: it would end a thread without a word
                self._supervisor.failed(self._part, error)
            if self._is_over.wait(pauses.next_s()):
                return


class _Pauses:
    """How long to wait before the next start."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S
        self._since_s = time.monotonic()

    def next_s(self) -> float:
        """Return the pause, now that the work has failed."""
        now_s = time.monotonic()
        if now_s - self._since_s > WELL_S:
            self._pause_s = FIRST_PAUSE_S
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._since_s = now_s
        return pause_s
