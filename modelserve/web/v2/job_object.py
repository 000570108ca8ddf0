"""Shows a job as clients see it: DEEPaaS's training object, with progress and metrics. Values in, a dict out, no I/O.

{"uuid", "date", "status", "args", "message"?, "progress"?, "metrics"?, "result"? {"output", "finish_date", "duration"}}
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from modelserve.jobs.job import Job, Operation, Point, Status

__all__ = ["is_filed", "show_job", "show_point", "when"]


def show_job(job: Job, *, with_result: bool = True) -> dict[str, Any]:
    """Return the object of one job; in lists it is ``with_result=False``.

    ``message`` is there where something is to be said, ``progress`` and ``metrics`` where the author has reported them,
    ``result`` once the job is done. An output that is too large for the object is None in it; ``output_bytes`` then is
    its size, and the result route has it. An output that cannot be read is text, and the result has a ``note``.
    """
    shown: dict[str, Any] = {
        "uuid": job.uuid,
        "date": when(job.created),
        "status": job.status.value,
        "args": job.args,
    }
    if job.message:
        shown["message"] = job.message
    if job.progress is not None:
        shown["progress"] = job.progress
    if job.metrics:
        shown["metrics"] = job.metrics
    if with_result and job.status is Status.DONE:
        shown["result"] = _result(job)
    return shown


def is_filed(job: Job) -> bool:
    """Return whether the output of a training lies in a file, for it is too large for the store."""
    return job.output is None and job.output_bytes > len(b"null")


def show_point(point: Point) -> dict[str, Any]:
    """Return one step of the history of metrics."""
    return {"step": point.step, "date": when(point.at), "metrics": point.metrics}


def when(time: datetime) -> str:
    """Return a time of UTC as ISO 8601 writes it.

    >>> from datetime import UTC
    >>> when(datetime(2026, 5, 1, 12, 30, tzinfo=UTC))
    '2026-05-01T12:30:00Z'
    """
    return time.isoformat().replace("+00:00", "Z")


def _result(job: Job) -> dict[str, Any]:
    shown: dict[str, Any] = {"output": job.output}
    if job.operation is Operation.PREDICT and isinstance(job.output, dict):
        shown = {"output": job.output.get("output"), "content_type": job.output["content_type"]}
        shown["output_bytes"] = job.output_bytes or job.output["bytes"]
    elif is_filed(job):
        shown["output_bytes"] = job.output_bytes
    if job.note:
        shown["note"] = job.note
    if job.finished is not None:
        shown["finish_date"] = when(job.finished)
        shown["duration"] = str(job.finished - (job.started or job.created))  # as DEEPaaS writes it: 0:00:12.345678
    return shown
