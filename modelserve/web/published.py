"""What a server publishes of its models: what each says of itself, and which of its long tasks are kept as jobs.

A client is told only of the models that it may call.
"""

from __future__ import annotations

from aiohttp import web

from modelserve.messages import Description
from modelserve.runtime.fleet import Deployment, Fleet
from modelserve.settings import Settings
from modelserve.web.auth import Guard

__all__ = ["Published"]


class Published:
    """The models of a server, as they are now.

    Args:
        fleet: Whose they are.
        settings: Of each deployment, whether it trains.
        guard: Knows which of them a client may call.
        keeps_jobs: Whether there is a store of jobs.
    """

    def __init__(self, fleet: Fleet, settings: Settings, guard: Guard, *, keeps_jobs: bool) -> None:
        self.fleet = fleet
        self._settings = settings
        self._guard = guard
        self._keeps_jobs = keeps_jobs

    @property
    def public(self) -> frozenset[str] | None:
        """The models that need no token, None where none of them does."""
        return None if self._guard.roll.is_empty else self._guard.public

    def seen(self, request: web.Request) -> list[Deployment]:
        """Return the deployments that the client of a request may know of."""
        deployments = list(self.fleet.deployments.values())
        return [each for each in deployments if self._guard.sees(request, each.name)]

    def models(self, request: web.Request) -> dict[str, Description]:
        """Return the description of each of these that has been loaded, by the name it is served under."""
        return {each.name: each.description for each in self.seen(request) if each.description is not None}

    def operations(self, name: str) -> frozenset[str]:
        """Return of what jobs are kept for a model: "train" and "predict", where it has them."""
        description = self.fleet.find(name).description
        if description is None or not self._keeps_jobs:
            return frozenset()
        trains = self._settings.of(name).train
        return frozenset({"predict", *(["train"] if trains else [])}) & set(description.implements)
