"""The small interface that load generators stand behind, and what they hand back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["BenchmarkError", "Load", "Outcome", "Request", "percentile"]


class BenchmarkError(Exception):
    """The run cannot go on or its figures would mean nothing; the message is one sentence for the operator."""


@dataclass(frozen=True)
class Request:
    """The one POST that a load repeats: an ``http://host:port/path`` and a body of some media type."""

    url: str
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Outcome:
    """What one load of ``duration_s`` seconds brought; ``errors`` are all requests without a 2xx answer."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.duration_s


class Load(Protocol):
    """Repeats one request over keep-alive connections from the CPUs it was made for.

    Each connection sends its next request when the answer to the last one is there. ``run`` blocks for about
    ``duration_s`` seconds; every process it starts has ended when it returns.

    Raises:
        BenchmarkError: The generator itself failed. Bad answers are counted as errors instead.
    """

    @property
    def name(self) -> str:
        """The generator and its version, for the record."""
        ...

    def run(self, request: Request, *, connections: int, duration_s: int) -> Outcome:
        """Load the server and return what it did."""
        ...


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` (0..1) of the ascending values do not exceed; 0.0 for none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
