"""Removes what is kept no longer: old jobs, and the files of jobs that are not there or need them no more.

It runs at start and once an hour, beside everything else, and in no hurry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable

from modelserve.errors import NotFound
from modelserve.jobs.belonging import Belonging
from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import ENDED
from modelserve.jobs.thread import AsyncStore
from modelserve.settings import Settings

__all__ = ["MIN_KEPT_S", "Tidying"]

DAY_S = 24 * 3600.0

# However many end after it, a job is kept for this long: who has waited for its end can still fetch what it has left.
MIN_KEPT_S = 3600.0

# A folder may be there before its job is: the files of a request are kept first.
ORPHAN_S = 600.0

# Between two folders, so that nobody waits for many of them.
PAUSE_S = 0.01


class Tidying:
    """Removes old jobs and what has been left of jobs.

    Args:
        store: The jobs.
        files: Their files.
        settings: How many jobs are kept, and for how long.
        deployments: Gives those of which jobs are removed; others are for the servers that run them.
        runs: Gives the uuids of the jobs of which something still runs here.
    """

    def __init__(
        self,
        store: AsyncStore,
        files: JobFiles,
        settings: Settings,
        *,
        deployments: Callable[[], Awaitable[Collection[str]]],
        runs: Callable[[], Collection[str]],
    ) -> None:
        self._store = store
        self._files = files
        self._deployments = deployments
        self._runs = runs
        self._most = settings.keep_jobs
        self._max_age_s = max(settings.keep_jobs_days * DAY_S, MIN_KEPT_S)
        self._is_first = True
        self._clock = _SteadyClock()
        self._belonging = Belonging(store, files)

    async def tidy(self) -> None:
        """Do it once; the first time only files that came with requests are looked for, of which there are few.

        Raises:
            StoreUnavailable: The store cannot be used now.
            NoSpace: It is full.
        """
        now = self._clock.at(await self._store.clock())
        deployments = await self._deployments()
        removed = await self._store.purge(
            self._max_age_s, self._most, min_age_s=MIN_KEPT_S, deployments=deployments, now=now
        )
        for uuid in removed:
            await asyncio.to_thread(self._files.remove, uuid)
        sure_s = await self._belonging.confirm()
        for uuid in await asyncio.to_thread(self._folders):
            await self._look_at(uuid, sure_s)
            await asyncio.sleep(PAUSE_S)
        self._is_first = False
        await self._store.forget_servers()
        await self._store.give_back()

    def _folders(self) -> list[str]:
        kept: Iterable[str] = self._files.kept()
        return [uuid for uuid in kept if self._files.uploads(uuid).exists() or not self._is_first]

    async def _look_at(self, uuid: str, sure_s: float | None) -> None:
        try:
            job = await self._store.get(uuid)
        except NotFound:
            if sure_s is not None:
                await asyncio.to_thread(self._remove_orphan, uuid, sure_s)
            return
        if job.status in ENDED and uuid not in self._runs():
            await asyncio.to_thread(self._files.remove_uploads, uuid)

    def _remove_orphan(self, uuid: str, sure_s: float) -> None:
        """Remove a folder without a job: soon where that was never stored, else once a job would be too old.

        What a job has left may be all that there is of it: its database was lost or moved away, or is another one now.
        """
        folder = self._files.folder(uuid)
        try:
            changed_s = max(entry.stat().st_mtime for entry in (folder, *folder.iterdir()))
            has_run = any(self._files.artifacts(uuid).iterdir()) or self._files.log(uuid).exists()
        except FileNotFoundError:
            return
        is_old = time.time() - changed_s > (self._max_age_s if has_run else ORPHAN_S)
        if is_old and changed_s < sure_s:  # the database is the one whose job it was, and as new as that at least
            self._files.remove(uuid)


class _SteadyClock:
    """A clock that is set forward while the server runs makes no job old; one that is set back is followed."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None

    def at(self, told_s: float) -> float:
        """Return the time of the database's clock, as it would be had nobody set it forward since the first call."""
        passed_s = time.monotonic()
        if self._start is None:
            self._start = (told_s, passed_s)
        return min(told_s, self._start[0] + passed_s - self._start[1])
