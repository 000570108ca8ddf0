"""Removes what is kept no longer: old jobs, and the files of jobs that are not there or need them no more.

It runs at start and once an hour, beside everything else, and in no hurry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from modelserve.errors import NotFound
from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import ENDED
from modelserve.jobs.thread import AsyncStore
from modelserve.settings import Settings

__all__ = ["Tidying"]

DAY_S = 24 * 3600.0

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
    """

    def __init__(self, store: AsyncStore, files: JobFiles, settings: Settings) -> None:
        self._store = store
        self._files = files
        self._settings = settings
        self._is_first = True

    async def tidy(self) -> None:
        """Do it once; the first time only files that came with requests are looked for, of which there are few.

        Raises:
            StoreUnavailable: The store cannot be used now.
            NoSpace: It is full.
        """
        for uuid in await self._store.purge(self._settings.keep_jobs_days * DAY_S, self._settings.keep_jobs):
            await asyncio.to_thread(self._files.remove, uuid)
        for uuid in await asyncio.to_thread(self._folders):
            await self._look_at(uuid)
            await asyncio.sleep(PAUSE_S)
        self._is_first = False

    def _folders(self) -> list[str]:
        kept: Iterable[str] = self._files.kept()
        return [uuid for uuid in kept if self._files.uploads(uuid).exists() or not self._is_first]

    async def _look_at(self, uuid: str) -> None:
        try:
            job = await self._store.get(uuid)
        except NotFound:
            await asyncio.to_thread(self._remove_orphan, uuid)
            return
        if job.status in ENDED:
            await asyncio.to_thread(self._files.remove_uploads, uuid)

    def _remove_orphan(self, uuid: str) -> None:
        try:
            age_s = time.time() - self._files.folder(uuid).stat().st_mtime
        except FileNotFoundError:
            return
        if age_s > ORPHAN_S:
            self._files.remove(uuid)
