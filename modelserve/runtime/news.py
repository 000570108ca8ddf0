"""What a training tells of itself, gathered in the worker and sent by a thread of its own.

    train --progressed, logged--> News --every 0.1 s, parts--> outlet --> server

Telling costs a few microseconds and never waits for the server: while it does not read, news gathers, and of more than
``MOST_POINTS`` points, or more than ``MOST_BYTES`` of them, every second one is dropped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable

import msgspec

from modelserve.messages import Part, TrainingProgress, encode_training_event, sendable
from modelserve.runtime.outlet import Outlet

__all__ = ["MOST_POINTS", "News"]

logger = logging.getLogger(__name__)

# News is sent at once, and then not again for so long; of large news no more than so many bytes in a second.
GATHER_S = 0.1
BYTES_PER_S = 2 * 1024 * 1024

# Points that are gathered at most. Half of them may have no step, so at least 1,000 with a step are kept.
MOST_POINTS = 2_000

# The same in bytes, as they are sent: the names, and so much for each number and what stands around it.
MOST_BYTES = 512 * 1024
NUMBER_BYTES = 25

_Point = tuple[int | None, dict[str, int | float]]


class News:
    """A :class:`modelserve.v2.progress.Reporter`. In a forked child it does nothing, since the thread is not there.

    Args:
        call_id: The call whose parts it sends.
        outlet: Where they go.
        asked: Whether the training is to end.
        artifacts: The folder for files to keep, "" for none.

    Attributes:
        heeded: Whether the author has seen that the training is to end.
    """

    def __init__(self, call_id: int, outlet: Outlet, asked: Callable[[], bool], artifacts: str) -> None:
        self._call_id = call_id
        self._outlet = outlet
        self._asked = asked
        self.artifacts = artifacts
        self.heeded = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._points: list[_Point] = []
        self._bytes = 0
        self._fraction: float | None = None
        self._step = -1
        self._is_due = False
        self._due = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_on, name="news", daemon=True)

    def start(self) -> None:
        """Start to send."""
        self._thread.start()

    def close(self) -> None:
        """Send what is left, and return once all is sent; the end of the process does not wait for this."""
        self._over.set()
        self._due.set()
        self._thread.join()
        self._send()

    def progressed(self, fraction: float | None, metrics: dict[str, int | float]) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._fraction = self._fraction if fraction is None else fraction
            if metrics:
                self._add(None, metrics)
            self._wake()

    def logged(self, step: int | None, metrics: dict[str, int | float]) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._step = self._step + 1 if step is None else step
            if metrics:
                self._add(self._step, metrics)
                self._wake()

    def is_cancelled(self) -> bool:
        if not self._asked():
            return False
        self.heeded = True
        return True

    def _add(self, step: int | None, metrics: dict[str, int | float]) -> None:
        if self._points and self._points[-1][0] == step:
            self._points[-1][1].update(metrics)
            return
        self._points.append((step, metrics))
        self._bytes += _size(metrics)
        if len(self._points) > MOST_POINTS or self._bytes > MOST_BYTES:
            del self._points[1:-1:2]  # not the first, and never the last
            self._bytes = sum(_size(metrics) for _, metrics in self._points)

    def _wake(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._due.set()

    def _send_on(self) -> None:
        with contextlib.suppress(OSError):  # the server has gone, and with it this process in a moment
            while not self._over.is_set():
                self._due.wait()
                self._over.wait(max(GATHER_S, self._try_to_send() / BYTES_PER_S))

    def _try_to_send(self) -> int:
        try:
            return self._send()
        except OSError:
            raise
        except Exception:  # the border of a thread that must go on: what was gathered then is lost
            logger.exception("some progress of the training was lost")
            return 0

    def _send(self) -> int:
        """Send what is gathered, and return how many bytes it is."""
        parts = [Part(self._call_id, encode_training_event(event)) for event in self._taken()]
        if parts:
            self._outlet.send_parts(parts)
        return sum(len(part.data) for part in parts)

    def _taken(self) -> list[TrainingProgress]:
        """Return all that is gathered, in order; the last one has how far the training has come."""
        with self._lock:
            points, fraction = self._points, self._fraction
            self._points, self._bytes, self._fraction, self._is_due = [], 0, None, False
            self._due.clear()
        events = [TrainingProgress(metrics=_sendable(metrics), step=step) for step, metrics in points]
        if fraction is not None:
            last = events.pop() if events else TrainingProgress()
            events.append(msgspec.structs.replace(last, progress=fraction))
        return events


def _size(metrics: dict[str, int | float]) -> int:
    return sum(map(len, metrics)) + NUMBER_BYTES * len(metrics)


def _sendable(metrics: dict[str, int | float]) -> dict[str, int | float | None]:
    return {sendable(name): value for name, value in metrics.items()}  # NaN is written as null
