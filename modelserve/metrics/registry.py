"""All instruments of one server, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from modelserve.metrics.connections import ConnectionMetrics
from modelserve.metrics.deployment import CacheMetrics, DeploymentMetrics, Families
from modelserve.metrics.machine import MachineUse
from modelserve.metrics.merging import Merged
from modelserve.metrics.quick import Counts, Spreads
from modelserve.metrics.reading import HeldRead, Holding, JobCounts, JobsRead, Read
from modelserve.metrics.requests import LATENCY_BUCKETS_S, Operation, RequestMetrics, Requests, ToldMetrics
from modelserve.metrics.seldon import Seldon

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Every instrument of one server.

    Args:
        seldon: Whether predict requests are counted under Seldon's names too.

    Attributes:
        models: What models count themselves.
        machine: What workers and GPUs have of the machine.
        connections: How many there are, and who was turned away.
    """

    def __init__(self, *, seldon: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.requests = Requests()
        self.machine = MachineUse()
        self.models = Merged()
        self.connections = ConnectionMetrics()
        self._families = _families(self.registry)
        self._cache = _cache(self.registry)
        self._callbacks = Counter(
            "modelserve_callbacks",
            "Tries to post a job that has ended to its callback_url.",
            ["outcome"],
            registry=self.registry,
        )
        self._tasks = Read(GaugeMetricFamily, "modelserve_tasks", "Tasks of the server's event loop.")
        self._lost = Read(
            CounterMetricFamily, "modelserve_log_records_lost", "Records of the server's log that were not written."
        )
        self._failures = Read(
            CounterMetricFamily,
            "modelserve_internal_failures",
            "Times that a part of the server failed and was started again.",
            ["part"],
        )
        self._held = HeldRead()
        self._stalled = Read(
            CounterMetricFamily, "modelserve_stalled_seconds", "Seconds in which the server's event loop stood still."
        )
        own = (self._tasks, self._stalled, self._lost, self._failures, self._held)
        for collector in (*self.requests.families, *self.connections.families, *own, self.machine, self.models):
            self.registry.register(collector)
        self._seldon = Seldon(self.registry) if seldon else None

    def watch_tasks(self, count: Callable[[], float]) -> None:
        """Read from here how many tasks the server's event loop has."""
        self._tasks.watch_one(number=count)

    def watch_stalls(self, lost_s: Callable[[], float]) -> None:
        """Read from here for how many seconds the server stood still."""
        self._stalled.watch_one(number=lost_s)

    def watch_log(self, lost_records: Callable[[], float]) -> None:
        """Read from here how many records of the log could not be written."""
        self._lost.watch_one(number=lost_records)

    def watch_failures(self, failures: Callable[[], Mapping[str, int]]) -> None:
        """Read from here how often each part of the server has failed."""
        self._failures.watch(found=lambda: {(part,): count for part, count in failures().items()})

    def watch_held(self, bound: Holding) -> None:
        """Tell of these bytes that the server holds, and of how many there may be."""
        self._held.watch(bound)

    def watch_jobs(self, counts: Callable[[], JobCounts]) -> None:
        """Read from here how many jobs there are. A server that keeps none has none of these."""
        self.registry.register(JobsRead(counts))

    def deployment(self, name: str) -> DeploymentMetrics:
        """Return the instruments of one deployment, bound once to its name."""
        self.requests.of(name, Operation.PREDICT)
        for reason in ("queue_full", "not_ready"):
            self.requests.expect(name, reason)
        return DeploymentMetrics(name, self._families)

    def predict(self, name: str) -> RequestMetrics | ToldMetrics:
        """Return the instruments of one deployment's predict requests, under all names that were chosen."""
        metrics = self.requests.of(name, Operation.PREDICT)
        return metrics if self._seldon is None else ToldMetrics(metrics, self._seldon.deployment(name))

    def cache(self, name: str) -> CacheMetrics:
        """Return the instruments of one deployment's cache; a deployment without one has none."""
        hits, misses, entries = self._cache
        return CacheMetrics(hits.labels(name), misses.labels(name), entries.labels(name))

    def rewarded(self, name: str, reward: float) -> None:
        """Count one feedback to a deployment, and its reward."""
        DeploymentMetrics(name, self._families).rewarded(reward)
        if self._seldon is not None:
            self._seldon.rewarded(name, reward)

    def called_back(self, outcome: str) -> None:
        """Count one try to post a job that has ended, by what has become of it."""
        self._callbacks.labels(outcome).inc()

    def render(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(_Plain(self.registry))


class _Plain(Collector):
    """A registry without the times at which its series were made, which nearly double them and tell nobody anything."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if sample.name != f"{family.name}_created"]
            yield family


def _families(registry: CollectorRegistry) -> Families:
    """Make the families of the deployments."""
    each = ["deployment"]
    families = Families(
        queue_time=Spreads(
            "modelserve_queue_duration_seconds", "How long calls waited for a worker.", each, LATENCY_BUCKETS_S
        ),
        predict_time=Spreads(
            "modelserve_predict_duration_seconds", "How long a worker was at a call.", each, LATENCY_BUCKETS_S
        ),
        batch_size=Spreads("modelserve_batch_size", "Calls sent to a worker together.", each, BATCH_BUCKETS),
        workers=Read(GaugeMetricFamily, "modelserve_workers", "Workers, by what they do.", [*each, "state"]),
        queue_calls=Read(GaugeMetricFamily, "modelserve_queue_calls", "Calls that wait for a worker.", each),
        queue_bytes=Read(
            GaugeMetricFamily, "modelserve_queue_bytes", "Bytes of request bodies that wait for a worker.", each
        ),
        restarts=Counts(
            "modelserve_worker_restarts", "Workers started in place of one that had died.", [*each, "reason"]
        ),
        timeouts=Counts(
            "modelserve_timeouts",
            "Calls whose time was over while they waited (queue) or ran (predict).",
            [*each, "stage"],
        ),
        exits=Counts("modelserve_worker_exits", "Workers that ended, by reason.", [*each, "reason"]),
        feedback=Counts("modelserve_feedback", "Times that clients judged an answer.", each),
        reward=Counts("modelserve_feedback_reward", "Sum of the rewards in clients' feedback.", each),
    )
    for family in families:
        registry.register(family)
    return families


def _cache(registry: CollectorRegistry) -> tuple[Counter, Counter, Gauge]:
    """Make the families of the caches."""
    each = ["deployment"]
    return (
        Counter("modelserve_cache_hits", "Calls answered without running the model.", each, registry=registry),
        Counter(
            "modelserve_cache_misses",
            "Calls that ran the model, since no identical one had been answered.",
            each,
            registry=registry,
        ),
        Gauge("modelserve_cache_entries", "Answers that are kept.", each, registry=registry),
    )
