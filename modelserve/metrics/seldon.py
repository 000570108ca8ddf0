"""The metrics of Seldon's executor, under its names, for dashboards that read those.

The names, the labels and the buckets are those of the metrics that Seldon core 1.18 documents:
https://docs.seldon.io/projects/seldon-core/en/latest/analytics/analytics.html
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary

from modelserve.metrics.requests import Told

__all__ = ["Seldon"]

DEPLOYMENT = ("deployment_name", "predictor_name", "predictor_version", "service", "method", "code")
MODEL = ("deployment_name", "predictor_name", "predictor_version", "model_name", "model_image", "model_version")

# A deployment here has one predictor, as Seldon's have by default.
PREDICTOR = ("default", "")

# Statuses that are told as they are; any other, which only a model can choose, as the first of its class.
STATUSES = frozenset({200, 400, 401, 403, 404, 406, 408, 413, 415, 422, 429, 499, 500, 501, 503, 504})


class Seldon:
    """The instruments of all deployments of one server.

    Args:
        registry: Where they are read from.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._server = _timed("server", "From the request's head to its answer", DEPLOYMENT, registry)
        self._client = _timed("client", "Requests to the model", (*MODEL, *DEPLOYMENT[3:]), registry)
        self._feedback = Counter(
            "seldon_api_model_feedback", "Feedback to the model.", [*MODEL, *DEPLOYMENT[3:5]], registry=registry
        )
        self._reward = Counter(
            "seldon_api_model_feedback_reward",
            "Rewards of the feedback.",
            [*MODEL, *DEPLOYMENT[3:5]],
            registry=registry,
        )

    def deployment(self, name: str) -> Told:
        """Return what is to be told of each answer to a predict request of a deployment."""
        for counter in (self._feedback, self._reward):
            counter.labels(*self._model(name), "feedback", "feedback")
        known = {status: self._observers(name, status) for status in STATUSES if status == 200}

        def told(status: int, duration_s: float) -> None:
            status = status if status in STATUSES else status // 100 * 100
            if status not in known:
                known[status] = self._observers(name, status)
            for instrument in known[status]:
                instrument.observe(duration_s)

        return told

    def rewarded(self, name: str, reward: float) -> None:
        """Count one feedback; as in Seldon, a reward that is not above zero adds nothing."""
        values = (*self._model(name), "feedback", "feedback")
        self._feedback.labels(*values).inc()
        if reward > 0:
            self._reward.labels(*values).inc(reward)

    def _model(self, name: str) -> tuple[str, ...]:
        return (name, *PREDICTOR, name, "", "")

    def _observers(self, name: str, status: int) -> list[Histogram | Summary]:
        of_call = ("predictions", "post", str(status))
        server = [instrument.labels(name, *PREDICTOR, *of_call) for instrument in self._server]
        return server + [instrument.labels(*self._model(name), *of_call) for instrument in self._client]


def _timed(
    side: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry
) -> tuple[Histogram, Summary]:
    name = f"seldon_api_executor_{side}_requests_seconds"
    return (
        Histogram(name, f"{documentation}.", labels, registry=registry),
        Summary(f"{name}_summary", f"{documentation}, summed up.", labels, registry=registry),
    )
