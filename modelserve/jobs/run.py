"""What the runner and the runs of its jobs promise each other.

    Runner --ending(), cancel(), stop(), close()--> Run        Run --Report--> Runner        Run --Ending--> Runner

There are two kinds of run: a training in a process of its own, and a prediction in an ordinary worker.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from modelserve.jobs.job import Job, Operation, Status

__all__ = ["STOPPED", "Ending", "Run", "RunReport"]


class Ending(msgspec.Struct, frozen=True):
    """How a run ended: what its job's status becomes, why, and as JSON what it returned.

    The status is one of those that end a job, or "queued" for one that is to be run again. ``output_bytes`` is the size
    of what it returned, where that is not ``output`` itself.
    """

    status: Status
    message: str = ""
    output: bytes | None = None
    output_bytes: int = 0


# A run that did not come to its end because it was asked to end.
STOPPED = Ending(Status.LOST, "The server was stopped.")


class Run(Protocol):
    """One attempt at one job."""

    @property
    def job(self) -> Job:
        """The job, as it was when it was taken."""

    @property
    def pid(self) -> int:
        """The process that is the run's alone, 0 for none."""

    async def ending(self) -> Ending:
        """Run the job and return how it ended; ``STOPPED`` where that is because it was asked to. Call it once."""

    def cancel(self) -> None:
        """The job's record says that it has ended: the run is to end too. Idempotent, never blocks."""

    def stop(self, wait_s: float) -> None:
        """The server stops: the run may take so many seconds, then it ends. Idempotent, never blocks."""

    async def close(self) -> None:
        """Return once nothing of the run is left."""


class RunReport(msgspec.Struct, frozen=True):
    """One run, for the operator; ``pid`` is 0 for a run in an ordinary worker."""

    uuid: str
    deployment: str
    operation: Operation
    pid: int
    started: datetime | None

    @staticmethod
    def of(run: Run) -> RunReport:
        """Return the report of a run."""
        job = run.job
        return RunReport(job.uuid, job.deployment, job.operation, run.pid, job.started)
