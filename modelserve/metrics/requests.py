"""What is counted of requests: answers by status class, their durations, and refusals by reason.

The labels are bounded: a deployment's name or "", an operation of a closed set, a class of statuses, a code of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from modelserve.metrics.quick import Counts, Spread, Spreads

__all__ = ["LATENCY_BUCKETS_S", "Operation", "RequestMetrics", "Requests"]

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# The statuses with which a request is turned away before a model sees it, for the sake of the server or of its rules.
REFUSING = frozenset({401, 403, 408, 413, 415, 421, 429, 503})

ACCEPTED = 202


class Operation(StrEnum):
    """What a request asks for."""

    # An answer of a model, now.
    PREDICT = "predict"
    # A training.
    TRAIN = "train"
    # A background prediction, or anything about a job that there is.
    JOB = "job"
    # What there is: models, versions, documents, pages.
    DESCRIBE = "describe"
    # Whether the server is alive and ready.
    HEALTH = "health"
    # The metrics.
    METRICS = "metrics"
    # Anything else, such as a path that is not there.
    OTHER = "other"


# Their durations are told: they are what a deployment does.
TIMED = frozenset({Operation.PREDICT, Operation.TRAIN, Operation.JOB})

# What is told of each answer besides, where that was chosen: its exact status, and how long it took.
Told = Callable[[int, float], None]


class RequestMetrics:
    """The instruments of the requests for one operation of one deployment.

    Args:
        statuses: Its counters.
        values: The values of its labels, but for the status.
        latency: Its histogram, None where durations are not told.
    """

    def __init__(self, statuses: Counts, values: tuple[str, str], latency: Spread | None) -> None:
        self._by_class = {number: statuses.of(*values, f"{number}xx") for number in (2, 3, 4, 5)}
        self._latency = latency

    def answered(self, status: int, duration_s: float) -> None:
        """Count one answer."""
        self._by_class[status // 100].value += 1
        if self._latency is not None:
            self._latency.observe(duration_s)


class PredictMetrics(RequestMetrics):
    """Those of predict. A background prediction, which comes by the same route, is one for a job."""

    def __init__(self, statuses: Counts, name: str, latency: Spread, jobs: Callable[[], RequestMetrics]) -> None:
        super().__init__(statuses, (name, Operation.PREDICT.value), latency)
        self._observe = latency.observe
        self._jobs = jobs

    def answered(self, status: int, duration_s: float) -> None:
        """Count one answer."""
        if status == ACCEPTED:
            self._jobs().answered(status, duration_s)
            return
        self._by_class[status // 100].value += 1
        self._observe(duration_s)


class ToldMetrics:
    """The instruments of others, and one more who is told of each answer."""

    def __init__(self, metrics: RequestMetrics, told: Told) -> None:
        self._metrics = metrics
        self._told = told

    def answered(self, status: int, duration_s: float) -> None:
        """Count one answer."""
        self._metrics.answered(status, duration_s)
        self._told(status, duration_s)


class Requests:
    """The instruments of all requests of one server."""

    def __init__(self) -> None:
        self._statuses = Counts(
            "modelserve_requests", "Answers sent, by status class.", ["deployment", "operation", "status"]
        )
        self._latency = Spreads(
            "modelserve_request_duration_seconds",
            "From the request's head to its answer.",
            ["deployment", "operation"],
            LATENCY_BUCKETS_S,
        )
        self._rejected = Counts(
            "modelserve_requests_rejected",
            "Requests turned away before any model saw them, by reason.",
            ["deployment", "reason"],
        )
        self._made: dict[tuple[str, Operation], RequestMetrics] = {}
        self.families = (self._statuses, self._latency, self._rejected)

    def of(self, deployment: str, operation: Operation) -> RequestMetrics:
        """Return the instruments of one operation, which are there from now on; the deployment may be "" for none."""
        key = (deployment, operation)
        return self._made.get(key) or self._made.setdefault(key, self._make(deployment, operation))

    def rejected(self, deployment: str, status: int, reason: str) -> None:
        """Count an error that was answered, if it is one of turning away; the reason is the error's code."""
        if status in REFUSING:
            self._rejected.of(deployment, reason).value += 1

    def expect(self, deployment: str, reason: str) -> None:
        """Have this reason there from now on, with zero."""
        self._rejected.of(deployment, reason)

    def _make(self, name: str, operation: Operation) -> RequestMetrics:
        latency = self._latency.of(name, operation.value) if operation in TIMED and name else None
        if operation is Operation.PREDICT and latency is not None:
            return PredictMetrics(self._statuses, name, latency, lambda: self.of(name, Operation.JOB))
        return RequestMetrics(self._statuses, (name, operation.value), latency)
