"""What a job says while it runs: its log, and its events as they come.

    log   -> its last lines, or all of it as a download; with ?follow=1 as events until the job has ended
    events -> status | progress | metrics as they change, until the job has ended

A client that leaves ends its handler, and with it all that was opened for it.
"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

from aiohttp import web

from modelserve.jobs.job import ENDED, Job
from modelserve.jobs.log_limit import KEPT_BYTES
from modelserve.jobs.runner import Runner
from modelserve.web.events import KEEP_ALIVE_S, EventResponse, with_pauses
from modelserve.web.failures import BrokenAnswer
from modelserve.web.files import SENDING
from modelserve.web.v2.job_log import Span, find_span, read_lines, read_piece
from modelserve.web.v2.job_object import show_job
from modelserve.web.v2.jobs import Jobs, whole_number
from modelserve.web.v2.log_answers import LOOK_S, MAX_TAIL, last_seen, log_headers, switch

__all__ = ["JobStreams"]


class JobStreams:
    """The log and the events of the jobs of one operation."""

    def __init__(self, jobs: Jobs, runner: Runner) -> None:
        self._jobs = jobs
        self._runner = runner

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Answer with what a job has printed.

        Raises:
            BadRequest: ``tail`` or ``follow`` is malformed.
        """
        tail = whole_number(request, "tail", -1, 0, MAX_TAIL)
        is_followed = switch(request, "follow")
        job = await self._jobs.job(request)
        path = self._runner.files.log(job.uuid)
        span = await request.config_dict[SENDING].run(find_span, path, None if tail < 0 else tail)
        if is_followed and request.method != "HEAD":
            return await self._follow_log(request, job, path, _resumed(request, span))
        return await _send_log(request, _log_response(request, job, span, is_download=tail < 0), path, span)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer with the status, progress and metrics of a job: what they are, and then each time they change."""
        job = await self._jobs.job(request)
        events = EventResponse(request)
        await events.begin()
        told: dict[str, Any] = {}
        async with contextlib.aclosing(with_pauses(self._runner.follow(job), KEEP_ALIVE_S)) as changes:
            async for changed in changes:
                if changed is None:
                    await events.keep_alive()
                    continue
                for name, data in _parts(changed).items():
                    if told.get(name) != data:
                        await events.send(name, data)
                        told[name] = data
        return await events.end()

    async def _follow_log(self, request: web.Request, job: Job, path: Path, start: int) -> web.StreamResponse:
        """Send the lines of a log as they are written, and at last how the job has ended."""
        events = EventResponse(request)
        await events.begin()
        silent_s = 0.0
        async with contextlib.aclosing(with_pauses(self._runner.follow(job), LOOK_S)) as changes:
            async for changed in changes:
                job = changed or job
                sent = await _send_lines(request, events, path, start, is_over=job.status in ENDED)
                silent_s = silent_s + LOOK_S if sent == start else 0.0
                start = sent
                if silent_s >= KEEP_ALIVE_S:
                    await events.keep_alive()
                    silent_s = 0.0
        await events.send("status", show_job(job))
        return await events.end()


async def _send_log(request: web.Request, response: web.StreamResponse, path: Path, span: Span) -> web.StreamResponse:
    """Send a part of a log, piece by piece."""
    await response.prepare(request)
    while request.method != "HEAD" and span.start < span.end:
        piece = await request.config_dict[SENDING].run(read_piece, path, span)
        if not piece.data:
            raise BrokenAnswer(500, "the log was removed while it was sent")
        await response.write(piece.data)
        span = Span(piece.end, span.end)
    await response.write_eof()
    return response


async def _send_lines(request: web.Request, events: EventResponse, path: Path, start: int, *, is_over: bool) -> int:
    """Send what a log has from a byte on, and return the byte behind it."""
    while True:
        found = await request.config_dict[SENDING].run(functools.partial(read_lines, path, start, is_over=is_over))
        if found.end == start:
            return start
        await events.send_lines("log", found.lines, found.end)
        start = found.end


def _log_response(request: web.Request, job: Job, span: Span, *, is_download: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers=log_headers(request, f"{job.uuid}.log" if is_download else ""))
    if span.end <= KEPT_BYTES:  # of a longer one, a part may leave the disk while it is sent
        response.content_length = span.end - span.start
    return response


def _resumed(request: web.Request, span: Span) -> int:
    """Return where to go on: behind what a client that comes back has had, which it tells by the last event's id."""
    last = last_seen(request)
    return span.start if last is None else min(last, span.end)


def _parts(job: Job) -> dict[str, Any]:
    """Return what the events tell of a job, by their names; the last status has the result with it."""
    shown = show_job(job)
    parts: dict[str, Any] = {}
    if "metrics" in shown:  # first, so that who shows a line for each progress has the metrics of that step
        parts["metrics"] = {"metrics": shown.pop("metrics")}
    if "progress" in shown:
        parts["progress"] = {"progress": shown.pop("progress")}
    if job.status in ENDED:  # the last word: all of the object
        return parts | {"status": show_job(job)}
    return {"status": shown} | parts
