"""The named Prometheus instruments; one registry per server, so that two servers in one process never mix.

Labels are bounded: a deployment's name, a closed set of operations, a status class, a closed set of reasons.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "DeploymentMetrics", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


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
        self._exits = Counter(
            "modelserve_worker_exits",
            "Workers that ended, by reason.",
            ["deployment", "reason"],
            registry=self.registry,
        )

    def deployment(self, name: str) -> DeploymentMetrics:
        """Return the instruments of one deployment, bound once to its name."""
        return DeploymentMetrics(
            name, self._requests, self._latency, self._batch_size.labels(name), self._workers.labels(name), self._exits
        )

    def render(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)


class DeploymentMetrics:
    """The instruments of one deployment."""

    def __init__(
        self, name: str, requests: Counter, latency: Histogram, batch_size: Histogram, workers: Gauge, exits: Counter
    ) -> None:
        self._name = name
        self._exits = exits
        self._by_class = {
            status // 100: requests.labels(name, "predict", f"{status // 100}xx") for status in (200, 300, 400, 500)
        }
        self._latency = latency.labels(name, "predict")
        self.batch_size = batch_size
        self.workers = workers

    def predicted(self, status: int, duration_s: float) -> None:
        """Count one answer to a predict request."""
        self._by_class[status // 100].inc()
        self._latency.observe(duration_s)

    def worker_ended(self, reason: str) -> None:
        """Count the end of one worker."""
        self._exits.labels(self._name, reason).inc()
