"""What a server has before and after a long run, and the bounds of what it may have grown by.

sizes -> assert_as_before
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.running import Running, eventually

__all__ = ["MIB", "Growth", "Size", "assert_as_before", "settled"]

MIB = 1024 * 1024

# What the memory of a server, or of its workers together, may grow by in a run of 100,000 requests.
MORE_BYTES = 5 * MIB


class Size(NamedTuple):
    """What the server, or its workers together, have."""

    rss: int
    descriptors: int
    threads: int

    @staticmethod
    def of(processes: list[psutil.Process]) -> Size:
        each = [(one.memory_info().rss, one.num_fds(), one.num_threads()) for one in processes]
        return Size(*map(sum, zip(*each, strict=True)))


class Growth(NamedTuple):
    """All that a server has: its process, the tasks of its loop, its temporary files, and its series of metrics."""

    size: Size
    tasks: int
    files: frozenset[Path]
    series: int

    @staticmethod
    def of(server: Running, **headers: str) -> Growth:
        """Measure it; the headers are those of a client that may read the metrics."""
        text = server.get("/metrics", **headers).body.decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        (tasks,) = [sample.value for sample in samples if sample.name == "modelserve_tasks"]
        files = frozenset(path for path in server.temp.rglob("*") if path.is_file())
        return Growth(Size.of([psutil.Process(server.process.pid)]), int(tasks), files, len(samples))

    def __str__(self) -> str:
        memory = f"{self.size.rss / MIB:.1f} MiB, {self.size.descriptors} descriptors, {self.size.threads} threads"
        return f"{memory}, {self.tasks} tasks, {len(self.files)} files, {self.series} series"


def settled(measure: Callable[[], Growth]) -> Growth:
    """Return what a server has once that no longer changes: connections that were closed may not be gone yet."""
    return eventually(lambda: (found := measure())[1:] == measure()[1:] and found, within_s=30) or measure()


def assert_as_before(before: Growth, measure: Callable[[], Growth]) -> Growth:
    """Assert that a server is, or soon will be, as it was; return what it is."""

    def is_as_before() -> Growth | None:
        found = measure()
        return found if (found[1:], found.size[1:]) == (before[1:], before.size[1:]) else None

    after = eventually(is_as_before, within_s=30)
    assert after
    assert after.size.rss - before.size.rss <= MORE_BYTES
    return after
