"""The named Prometheus instruments; one registry per server, so that two servers in one process never mix.

    requests.py    answers, durations and refusals        deployment.py   a deployment's queue, batches and workers
    merging.py     what models count themselves           machine.py      the memory of workers and GPUs
    seldon.py      the same under Seldon's names          quick.py        counters for the hot path

Labels are bounded: a deployment's name, a closed set of operations, a status class, a closed set of reasons. No client,
no token, no path and nothing else of a request is ever a label.
"""

from __future__ import annotations

from modelserve.metrics.deployment import CacheMetrics, DeploymentMetrics
from modelserve.metrics.reading import JobCounts
from modelserve.metrics.registry import CONTENT_TYPE, Metrics
from modelserve.metrics.requests import Operation

__all__ = ["CONTENT_TYPE", "CacheMetrics", "DeploymentMetrics", "JobCounts", "Metrics", "Operation"]
