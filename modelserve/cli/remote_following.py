"""Follows a server's job in the terminal, and asks at Ctrl-C what is to become of it.

events -> Display        Ctrl-C -> cancel it? -> yes: it is cancelled   no: it is followed on   Ctrl-C: it is left
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from modelserve.cli.following import Display, News, showing
from modelserve.cli.interrupts import answer, interrupts
from modelserve.cli.remote_jobs import RemoteJobs
from modelserve.errors import Reported

__all__ = ["Followed", "follow"]

QUESTION = "\nCancel the training? It goes on meanwhile; Ctrl-C again leaves it. [y/N] "


class Followed(NamedTuple):
    """How following a job ended: the job as it was last told, and what our user has done to that end."""

    job: Mapping[str, Any]
    is_cancelled: bool = False
    is_left: bool = False


async def follow(jobs: RemoteJobs, name: str, job: Mapping[str, Any], *, as_json: bool) -> Followed:
    """Show a job of the model ``name`` until it has ended, or the user does not want to wait for it.

    Raises:
        Unreachable: The server has gone, and has not come back for a minute.
    """
    with showing(name, as_json=as_json) as display, interrupts() as interrupted:
        following = asyncio.ensure_future(_show(jobs, job, display))
        try:
            return await _Conversation(jobs, job, display, interrupted).hold(following)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _show(jobs: RemoteJobs, job: Mapping[str, Any], display: Display) -> Mapping[str, Any]:
    """Show what a job tells, and return it once it has ended."""
    async with contextlib.aclosing(jobs.follow(job["uuid"])) as events:
        async for event in events:
            told = json.loads(event.data)
            if event.name == "status":
                job = told
            display.tell(News(told.get("status"), told.get("progress"), told.get("metrics") or {}))
    return job


class _Choice(enum.Enum):
    # The training is cancelled.
    CANCEL = enum.auto()
    # It is followed on.
    FOLLOW = enum.auto()
    # It goes on, and nobody waits for it.
    LEAVE = enum.auto()


class _Conversation:
    """What is done with one job while it is followed."""

    def __init__(
        self, jobs: RemoteJobs, job: Mapping[str, Any], display: Display, interrupted: asyncio.Queue[None]
    ) -> None:
        self._jobs = jobs
        self._job = job
        self._display = display
        self._interrupted = interrupted

    async def hold(self, following: asyncio.Future[Mapping[str, Any]]) -> Followed:
        """Return once the job has ended, or its user has decided something else."""
        while not await self._has_ended(following):
            choice = await self._choice(following)
            if choice is _Choice.LEAVE:
                return Followed(self._job, is_left=True)
            if choice is _Choice.CANCEL and (cancelled := await self._cancelled()) is not None:
                self._display.tell(News(status=cancelled["status"]))
                return Followed(cancelled, is_cancelled=True)
        return Followed(following.result())

    async def _has_ended(self, following: asyncio.Future[Any]) -> bool:
        """Wait for the end of the job, or Ctrl-C; tell whether the job has ended."""
        interrupt = asyncio.ensure_future(self._interrupted.get())
        await asyncio.wait([following, interrupt], return_when=asyncio.FIRST_COMPLETED)
        interrupt.cancel()
        return following.done()

    async def _choice(self, following: asyncio.Future[Any]) -> _Choice:
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            return _Choice.LEAVE  # nobody is there to be asked
        with self._display.paused():
            click.echo(QUESTION, err=True, nl=False)
            said = asyncio.ensure_future(answer())
            again = asyncio.ensure_future(self._interrupted.get())
            await asyncio.wait([following, said, again], return_when=asyncio.FIRST_COMPLETED)
            text = said.result() if said.done() else ""
            has_again = again.done()
            said.cancel()
            again.cancel()
            await asyncio.gather(said, again, return_exceptions=True)
            if not text:
                click.echo(err=True)  # the cursor stands behind the question
        if has_again:
            return _Choice.LEAVE
        return _Choice.CANCEL if text.strip().lower() in ("y", "yes") else _Choice.FOLLOW

    async def _cancelled(self) -> Mapping[str, Any] | None:
        """Cancel the job and return it, None where it has ended before."""
        try:
            return await self._jobs.cancel(self._job["uuid"])
        except Reported as error:
            if error.status != 409:
                raise
            return None
