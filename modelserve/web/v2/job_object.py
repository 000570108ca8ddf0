"""Shows a job as clients see it: DEEPaaS's training object, with progress and metrics. Values in, a dict out, no I/O.

{"uuid", "date", "status", "args", "message"?, "progress"?, "metrics"?, "result"? {"output", "finish_date", "duration"}}
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from modelserve.jobs.job import Job, Operation, Point, Status

__all__ = ["Show", "is_filed", "show_as_deepaas", "show_job", "show_point", "when"]

Show = Callable[[Job], dict[str, Any]]


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


def show_as_deepaas(job: Job) -> dict[str, Any]:
    """Return a training in the words of DEEPaaS, whose clients ask again while it is "running".

    It runs until it has ended, also while it waits. Times are those of this machine's zone, without it, and the
    duration is from the beginning to the end, so that ``date`` and ``duration`` add up to ``finish_date``.
    """
    shown = show_job(job)
    shown["date"] = _local(job.created)
    if job.status is Status.QUEUED:
        shown["status"] = Status.RUNNING.value
    if job.finished is not None and "result" in shown:
        shown["result"] |= {"finish_date": _local(job.finished), "duration": str(job.finished - job.created)}
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


def _local(time: datetime) -> str:
    """Return a time as DEEPaaS writes it: str() of one without a zone, always with its microseconds."""
    return time.astimezone().replace(tzinfo=None).isoformat(" ", "microseconds")


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
