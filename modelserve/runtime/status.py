"""What a deployment is doing, and what it says to those whose calls it does not take."""

from __future__ import annotations

from enum import StrEnum

from modelserve.errors import ModelserveError, NotReady, Stopping, Unavailable
from modelserve.messages import Failed

__all__ = ["ReloadFailed", "Status", "message", "refusal", "too_late"]

FAILED = {
    "load": "The model could not be loaded.",
    "describe": "The model could not be described.",
    "warm": "The model could not be warmed.",
}


class Status(StrEnum):
    """What a deployment is doing."""

    # Its workers are loading and warming for the first time.
    STARTING = "starting"
    # At least one worker is warm.
    READY = "ready"
    # It had warm workers and is replacing the last that died; calls wait in the queue.
    RESTARTING = "restarting"
    # Its model could not be started, or its workers died too often; in the latter case it is tried again by itself.
    FAILED = "failed"
    # The server is shutting down.
    STOPPING = "stopping"


class ReloadFailed(ModelserveError):
    """The new workers of a reload could not be started; the old ones serve on."""


def refusal(status: Status, trouble: str) -> Unavailable:
    """Return why a deployment that is not ready takes no call; ``trouble`` says why it has failed, "" at its start."""
    if status is Status.STOPPING:
        return Stopping("The server is shutting down.")
    if status is Status.FAILED and trouble:
        return NotReady("This model is out of service, since its workers keep failing; it is tried again by itself.")
    if status is Status.FAILED:
        return NotReady("This model could not be started; the server's log says why.")
    return NotReady("This model is still being started; try again in a moment.")


def too_late() -> NotReady:
    """Return why a call is refused that would wait for a worker for too long."""
    return NotReady("The workers of this model have died, and none will be there in time; try again in a moment.")


def message(status: Status, trouble: str, failed: Failed | None) -> str:
    """Return what is wrong with a deployment in one sentence that a client may read, "" for nothing."""
    if status is not Status.FAILED:
        return ""
    if trouble:
        return f"It has no worker: {trouble}."
    return "" if failed is None else f"{FAILED.get(failed.stage, '')} The server's log says why.".strip()
