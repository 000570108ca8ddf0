"""What is counted of connections: how many there are, how many there may be, and those that were turned away."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.core import GaugeMetricFamily

from modelserve.metrics.quick import Count, Counts
from modelserve.metrics.reading import Read

__all__ = ["ConnectionMetrics"]

# Why a connection was turned away: all places were taken; it was idle, and closed for a newer one; so was one of those
# at which only health is answered; its handshake failed; it was given up for a newer one. Or, by the code of the
# error that it got: what came on it was no request to answer, or had no room, or the server failed before it had one.
REASONS = (
    *("full", "idle", "crowded_out", "handshake_failed", "handshake_crowded_out"),
    *("bad_request", "head_too_large", "header_timeout", "no_space", "error"),
)


class ConnectionMetrics:
    """The instruments of one server's connections."""

    def __init__(self) -> None:
        self._present = Read(
            GaugeMetricFamily, "modelserve_connections", "Connections, by what they are at.", ["state"]
        )
        self._limits = Read(GaugeMetricFamily, "modelserve_connections_limit", "How many there may be.", ["state"])
        self._refused = Counts("modelserve_connections_refused", "Connections turned away, by reason.", ["reason"])
        for reason in REASONS:
            self._refused.of(reason)
        self.families = (self._present, self._limits, self._refused)

    def watch(self, state: str, count: Callable[[], int], limit: int) -> None:
        """Read from here how many connections there are in one state."""
        self._present.watch_one(state, number=count)
        self._limits.watch_one(state, number=lambda: limit)

    def refused(self, reason: str) -> Count:
        """Return the counter of those that were turned away for one of the reasons."""
        return self._refused.of(reason)
