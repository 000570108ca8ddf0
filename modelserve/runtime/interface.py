"""The small interface between a deployment and whatever runs its workers.

    Deployment --send(calls)--> Replica        Deployment <--answered, lost-- Replica

A *replica* is the server's handle on one worker. A *backend* makes replicas: processes on this machine, or others.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from modelserve.discovery import ModelRef
from modelserve.messages import Answers, Call, Description, Failed
from modelserve.runtime.devices import Placement

__all__ = ["Backend", "Exit", "Listener", "Replica", "StartFailed", "WorkerOptions", "WorkerSpec"]


class WorkerOptions(msgspec.Struct, frozen=True):
    """The settings that reach into a worker; their meaning is in the settings table."""

    unknown_arguments: str = "error"
    nan_answers: str = "error"
    log_level: str = "info"
    log_format: str = "text"


class WorkerSpec(msgspec.Struct, frozen=True):
    """One worker to start: ``name`` is unique within the server and used in logs, as in ``digits-0``."""

    name: str
    ref: ModelRef
    placement: Placement
    options: WorkerOptions


class Exit(msgspec.Struct, frozen=True):
    """How a worker ended: ``reason`` is "exit", "signal" or "stopped"; ``detail`` says more in words."""

    reason: str
    detail: str


class StartFailed(Exception):
    """A worker did not get as far as serving; ``failed`` says in which stage and why."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


class Listener(Protocol):
    """What a replica tells its owner, on the event loop's thread."""

    def answered(self, replica: Replica, answers: Answers) -> None:
        """Some calls have answers. Each call sent is answered at most once, frames in the order they were sent."""

    def lost(self, replica: Replica, end: Exit) -> None:
        """The worker has ended. Comes exactly once after a successful start, and nothing comes after it."""


class Replica(Protocol):
    """One worker. After ``start`` has returned it is warm and takes calls until ``lost``."""

    @property
    def name(self) -> str:
        """The worker's name."""

    @property
    def pid(self) -> int:
        """The worker's process id, 0 where it has none on this machine."""

    @property
    def begun(self) -> int:
        """How many calls, in the order they were sent, the worker has begun to run; stands still once it is dead."""

    async def start(self, listener: Listener) -> Description:
        """Start the worker and wait until its model is loaded and warm. Cancelling ends the worker.

        Raises:
            StartFailed: It could not load, describe or warm its model, or ended before it had.
        """

    def send(self, calls: list[Call]) -> None:
        """Send calls as one frame; never blocks. Calls sent after the worker has died are lost without a word."""

    async def stop(self, wait_s: float) -> None:
        """End the worker: ask, wait up to ``wait_s`` seconds, terminate, wait a second, kill. Idempotent."""


class Backend(Protocol):
    """Makes replicas. It is entered before the first and left after the last."""

    def replica(self, spec: WorkerSpec) -> Replica:
        """Return a new replica that is not started yet."""

    async def __aenter__(self) -> Backend: ...

    async def __aexit__(self, *error: object) -> None: ...
