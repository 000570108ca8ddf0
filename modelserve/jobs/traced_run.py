"""A run of a job that is a span of the trace in which the job was asked for.

Job.request: Call.traceparent -> TracedRun: the span "job train" -> Call.traceparent of the run
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from modelserve.jobs.job import Job, Status
from modelserve.jobs.run import Ending, Run
from modelserve.messages import Call
from modelserve.tracing import Tracing

__all__ = ["TracedRun"]


class TracedRun:
    """A :class:`modelserve.jobs.run.Run` around another.

    Args:
        tracing: Makes the span.
        job: It.
        make: Makes the run of a job.
    """

    def __init__(self, tracing: Tracing, job: Job, make: Callable[[Job], Run]) -> None:
        self._tracing = tracing
        call = msgspec.msgpack.decode(job.request, type=Call)
        fields = {"modelserve.deployment": job.deployment, "modelserve.job": job.uuid, "modelserve.client": call.client}
        self._span = tracing.begin(f"job {job.operation}", call.traceparent, fields)
        call.traceparent = tracing.traceparent(self._span)
        self._run = make(msgspec.structs.replace(job, request=msgspec.msgpack.encode(call)))

    @property
    def job(self) -> Job:
        return self._run.job

    @property
    def pid(self) -> int:
        return self._run.pid

    async def ending(self) -> Ending:
        status = Status.LOST
        try:
            ending = await self._run.ending()
            status = ending.status
            return ending
        finally:
            self._span.set_attribute("modelserve.status", status)
            if status is Status.ERROR:
                self._tracing.fail(self._span, status)
            self._span.end()

    def cancel(self) -> None:
        self._run.cancel()

    def stop(self, wait_s: float) -> None:
        self._run.stop(wait_s)

    async def close(self) -> None:
        await self._run.close()
