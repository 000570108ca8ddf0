"""The named Prometheus instruments; one registry per server, so that two servers in one process never mix.

Labels are bounded: a deployment's name, a closed set of operations, a status class, a closed set of reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "CacheMetrics", "DeploymentMetrics", "JobCounts", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class JobCounts(NamedTuple):
    """How many jobs there are, by deployment, operation and status: those that wait or run, and all that have ended."""

    present: Mapping[tuple[str, str, str], int]
    ended: Mapping[tuple[str, str, str], int]


class Metrics:
    """Every instrument of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "modelserve_requests",
            "Answers sent, by status class.",
            ["deployment", "operation", "status"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "modelserve_request_duration_seconds",
            "From the request's head to its answer.",
            ["deployment", "operation"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._batch_size = Histogram(
            "modelserve_batch_size",
            "Calls sent to a worker together.",
            ["deployment"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._workers = Gauge("modelserve_workers", "Workers that are warm.", ["deployment"], registry=self.registry)
        self._queue_calls = Gauge(
            "modelserve_queue_calls", "Calls that wait for a worker.", ["deployment"], registry=self.registry
        )
        self._queue_bytes = Gauge(
            "modelserve_queue_bytes",
            "Bytes of request bodies that wait for a worker.",
            ["deployment"],
            registry=self.registry,
        )
        self._restarts = Counter(
            "modelserve_worker_restarts",
            "Workers started in place of one that had died.",
            ["deployment"],
            registry=self.registry,
        )
        self._timeouts = Counter(
            "modelserve_timeouts",
            "Calls whose time was over while they waited (queue) or ran (predict).",
            ["deployment", "stage"],
            registry=self.registry,
        )
        self._exits = Counter(
            "modelserve_worker_exits",
            "Workers that ended, by reason.",
            ["deployment", "reason"],
            registry=self.registry,
        )
        self._hits = Counter(
            "modelserve_cache_hits",
            "Calls answered without running the model.",
            ["deployment"],
            registry=self.registry,
        )
        self._misses = Counter(
            "modelserve_cache_misses",
            "Calls that ran the model, since no identical one had been answered.",
            ["deployment"],
            registry=self.registry,
        )
        self._entries = Gauge(
            "modelserve_cache_entries", "Answers that are kept.", ["deployment"], registry=self.registry
        )
        self._callbacks = Counter(
            "modelserve_callbacks",
            "Tries to post a job that has ended to its callback_url.",
            ["outcome"],
            registry=self.registry,
        )
        self._tasks = Gauge("modelserve_tasks", "Tasks of the server's event loop.", registry=self.registry)
        self._log = _Log()
        self.registry.register(self._log)

    def watch_tasks(self, count: Callable[[], float]) -> None:
        """Read from here how many tasks the server's event loop has."""
        self._tasks.set_function(count)

    def watch_log(self, lost_records: Callable[[], float]) -> None:
        """Read from here how many records of the log could not be written."""
        self._log.lost_records = lost_records

    def watch_jobs(self, counts: Callable[[], JobCounts]) -> None:
        """Read from here how many jobs there are. A server that keeps none has none of these."""
        self.registry.register(_Jobs(counts))

    def deployment(self, name: str) -> DeploymentMetrics:
        """Return the instruments of one deployment, bound once to its name."""
        return DeploymentMetrics(
            name,
            requests=self._requests,
            latency=self._latency,
            batch_size=self._batch_size.labels(name),
            workers=self._workers.labels(name),
            restarts=self._restarts.labels(name),
            queue=(self._queue_calls.labels(name), self._queue_bytes.labels(name)),
            timeouts=self._timeouts,
            exits=self._exits,
        )

    def cache(self, name: str) -> CacheMetrics:
        """Return the instruments of one deployment's cache; a deployment without one has none."""
        return CacheMetrics(self._hits.labels(name), self._misses.labels(name), self._entries.labels(name))

    def called_back(self, outcome: str) -> None:
        """Count one try to post a job that has ended, by what has become of it."""
        self._callbacks.labels(outcome).inc()

    def render(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)


class _Log:
    """A counter that is read whenever the metrics are, for the log cannot count here itself."""

    def __init__(self) -> None:
        self.lost_records: Callable[[], float] = lambda: 0.0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the one counter."""
        yield CounterMetricFamily(
            "modelserve_log_records_lost",
            "Records of the server's log that could not be written.",
            value=self.lost_records(),
        )


class _Jobs:
    """Instruments that are read whenever the metrics are, from where jobs are counted anyway."""

    _LABELS = ("deployment", "operation", "status")

    def __init__(self, counts: Callable[[], JobCounts]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield them."""
        counts = self._counts()
        present = GaugeMetricFamily("modelserve_jobs", "Jobs that wait or run.", labels=self._LABELS)
        ended = CounterMetricFamily("modelserve_jobs_ended", "Jobs that have ended.", labels=self._LABELS)
        for family, found in ((present, counts.present), (ended, counts.ended)):
            for labels, count in found.items():
                family.add_metric(labels, count)
            yield family


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
    """The instruments of one deployment."""

    def __init__(
        self,
        name: str,
        *,
        requests: Counter,
        latency: Histogram,
        batch_size: Histogram,
        workers: Gauge,
        restarts: Counter,
        queue: tuple[Gauge, Gauge],
        timeouts: Counter,
        exits: Counter,
    ) -> None:
        self._name = name
        self._exits = exits
        self._queue_calls, self._queue_bytes = queue
        self._timeouts = {stage: timeouts.labels(name, stage) for stage in ("queue", "predict")}
        self._by_class = {
            status // 100: requests.labels(name, "predict", f"{status // 100}xx") for status in (200, 300, 400, 500)
        }
        self._latency = latency.labels(name, "predict")
        self.batch_size = batch_size
        self.workers = workers
        self.restarts = restarts

    def watch_queue(self, calls: Callable[[], float], size_bytes: Callable[[], float]) -> None:
        """Read the length of the queue from here whenever it is asked for, so that counting it costs a call nothing."""
        self._queue_calls.set_function(calls)
        self._queue_bytes.set_function(size_bytes)

    def timed_out(self, stage: str) -> None:
        """Count one call whose time was over in the "queue" or in "predict"."""
        self._timeouts[stage].inc()

    def predicted(self, status: int, duration_s: float) -> None:
        """Count one answer to a predict request."""
        self._by_class[status // 100].inc()
        self._latency.observe(duration_s)

    def worker_ended(self, reason: str) -> None:
        """Count the end of one worker."""
        self._exits.labels(self._name, reason).inc()
