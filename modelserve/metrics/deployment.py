"""The instruments of one deployment and of its cache, bound once to its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from modelserve.metrics.quick import Count, Counts, Spread, Spreads
from modelserve.metrics.reading import Found, Read

__all__ = ["CacheMetrics", "DeploymentMetrics", "Families"]


# Why a worker may have to be replaced: the reasons of its end that are not our choice, or it did not start.
RESTARTED = ("exit", "signal", "device", "broken", "timeout", "cancelled", "start")


class Families(NamedTuple):
    """The families that each deployment has one or more series of."""

    queue_time: Spreads
    predict_time: Spreads
    batch_size: Spreads
    workers: Read
    queue_calls: Read
    queue_bytes: Read
    restarts: Counts
    timeouts: Counts
    exits: Counts
    feedback: Counts
    reward: Counts


class CacheMetrics:
    """The instruments of one deployment's cache."""

    def __init__(self, hits: Counter, misses: Counter, entries: Gauge) -> None:
        self.hits = hits
        self.misses = misses
        self._entries = entries

    def watch(self, entries: Callable[[], float]) -> None:
        """Read from here how many answers are kept."""
        self._entries.set_function(entries)


class DeploymentMetrics:
    """The instruments of one deployment.

    Args:
        name: The deployment's.
        families: Whose series they are.

    Attributes:
        queue_time: Seconds that a call waited until it was sent to a worker.
        predict_time: Seconds that a worker was at a call.
        batch_size: Calls that were sent to a worker together.
    """

    def __init__(self, name: str, families: Families) -> None:
        self._name = name
        self._families = families
        self._timeouts: dict[str, Count] = {stage: families.timeouts.of(name, stage) for stage in ("queue", "predict")}
        for reason in RESTARTED:
            families.restarts.of(name, reason)
        self._feedback = families.feedback.of(name)
        self._reward = families.reward.of(name)
        self.queue_time: Spread = families.queue_time.of(name)
        self.predict_time: Spread = families.predict_time.of(name)
        self.batch_size: Spread = families.batch_size.of(name)

    def watch_queue(self, calls: Callable[[], float], size_bytes: Callable[[], float]) -> None:
        """Read the length of the queue from here whenever it is asked for, so that counting it costs a call nothing."""
        self._families.queue_calls.watch_one(self._name, number=calls)
        self._families.queue_bytes.watch_one(self._name, number=size_bytes)

    def watch_workers(self, states: Callable[[], Found]) -> None:
        """Read from here how many workers are in each state."""
        self._families.workers.watch(self._name, found=states)

    def timed_out(self, stage: str) -> None:
        """Count one call whose time was over in the "queue" or in "predict"."""
        self._timeouts[stage].value += 1

    def restarted(self, reason: str) -> None:
        """Count one worker that was started in place of another; the reason is why that had ended."""
        self._families.restarts.of(self._name, reason).value += 1

    def worker_ended(self, reason: str) -> None:
        """Count the end of one worker."""
        self._families.exits.of(self._name, reason).value += 1

    def rewarded(self, reward: float) -> None:
        """Count one feedback; a reward that is not above zero adds nothing, since counters only grow."""
        self._feedback.value += 1
        self._reward.value += max(0.0, reward)
