"""What a server publishes of its models: what each says of itself, and which of its long tasks are kept as jobs."""

from __future__ import annotations

from modelserve.messages import Description
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings

__all__ = ["Published"]


class Published:
    """The models of a server, as they are now.

    Args:
        fleet: Whose they are.
        settings: Of each deployment, whether it trains.
        keeps_jobs: Whether there is a store of jobs.
    """

    def __init__(self, fleet: Fleet, settings: Settings, *, keeps_jobs: bool) -> None:
        self.fleet = fleet
        self._settings = settings
        self._keeps_jobs = keeps_jobs

    def models(self) -> dict[str, Description]:
        """Return the description of each model that has been loaded, by the name it is served under."""
        deployments = self.fleet.deployments.items()
        return {name: each.description for name, each in deployments if each.description is not None}

    def operations(self, name: str) -> frozenset[str]:
        """Return of what jobs are kept for a model: "train" and "predict", where it has them."""
        description = self.fleet.find(name).description
        if description is None or not self._keeps_jobs:
            return frozenset()
        trains = self._settings.of(name).train
        return frozenset({"predict", *(["train"] if trains else [])}) & set(description.implements)
