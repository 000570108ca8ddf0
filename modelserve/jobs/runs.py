"""Makes the run of a job, and says how many more there may be of each kind now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import Job, Operation, Report
from modelserve.jobs.prediction_run import PredictionRun
from modelserve.jobs.run import Run
from modelserve.jobs.training_run import TrainingRun
from modelserve.runtime.fleet import Fleet, Status
from modelserve.settings import Settings
from modelserve.tracing import Tracing

__all__ = ["Kind", "Runs"]

# Background predictions of one deployment that are at its workers, or in their queue, at the same time.
PREDICTIONS = 16

# A deployment and what is run of it: each kind of job has its own slots.
Kind = tuple[str, Operation]


class Runs:
    """The slots of every deployment, and what runs in them.

    Args:
        fleet: The deployments.
        files: Where the files of jobs lie.
        settings: How many trainings run at the same time, and how long a cancelled one may take.
        report: Is told what trainings tell.
        tracing: Makes a span of each run; None for none.
    """

    def __init__(
        self,
        fleet: Fleet,
        files: JobFiles,
        settings: Settings,
        report: Callable[[Report], None],
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self._fleet = fleet
        self._files = files
        self._settings = settings
        self._report = report
        self._tracing = tracing

    def kinds(self) -> list[Kind]:
        """Return every kind of job that this server runs."""
        return [(name, operation) for name in self._fleet.deployments for operation in self._operations(name)]

    def models(self) -> dict[str, str]:
        """Return the identity of the model behind each deployment."""
        return {name: self._fleet.ref(name).identity for name in self._fleet.deployments}

    def free(self, busy: Mapping[Kind, Collection[int]]) -> dict[Kind, int]:
        """Return how many more jobs of each kind may run now, where that is any, besides those of the slots taken."""
        counts = {kind: self._slots(*kind) - len(busy.get(kind, ())) for kind in self.kinds()}
        return {kind: count for kind, count in counts.items() if count > 0}

    def make(self, job: Job, number: int) -> Run:
        """Return a run of a job, not begun, in the slot of this number.

        Raises:
            OSError: Its folder cannot be made.
            ValueError: Its request is gone.
        """
        if not job.request:
            raise ValueError("its request is gone")
        self._files.make(job.uuid)
        if self._tracing is None:
            return self._make(job, number)
        from modelserve.jobs.traced_run import TracedRun

        return TracedRun(self._tracing, job, lambda traced: self._make(traced, number))

    def _make(self, job: Job, number: int) -> Run:
        if job.operation is Operation.PREDICT:
            most = self._settings.of(job.deployment).max_result_bytes
            return PredictionRun(job, self._fleet.find(job.deployment), self._files.result(job.uuid), max_bytes=most)
        log, artifacts = self._files.log(job.uuid), self._files.artifacts(job.uuid)
        replica = self._fleet.training(job.deployment, number, log_path=str(log), artifacts=str(artifacts))
        cancel_s, stalls = self._settings.train_cancel_s, self._fleet.stalls
        return TrainingRun(job, replica, log=log, report=self._report, cancel_s=cancel_s, stalls=stalls)

    def _operations(self, name: str) -> Iterable[Operation]:
        return Operation if self._settings.of(name).train else (Operation.PREDICT,)

    def _slots(self, name: str, operation: Operation) -> int:
        """Return how many jobs may run; none until the deployment has started, so that it starts undisturbed."""
        status = self._fleet.find(name).status
        if operation is Operation.PREDICT:
            return PREDICTIONS if status in (Status.READY, Status.RESTARTING) else 0
        # A model that cannot be warmed may be trained: its weights may be what it lacks.
        return 0 if status in (Status.STARTING, Status.STOPPING) else self._settings.of(name).train_workers
