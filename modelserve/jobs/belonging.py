"""Whether a data folder and a database belong together, so that a folder without a job is really one that is left over.

    DATA_DIR/database: marks  <- the same ->  table folders: mark             changed with each look, first here
        equal     -> what is older than the last mark and has no job was removed there
        another   -> another database, one of a backup, an emptied one, or a copy of the folder: nothing is swept

The database's mark is as old as the database: one of a backup, from before the last look, has another than the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import time
import uuid as uuids
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from modelserve.jobs.files import JobFiles
from modelserve.jobs.thread import AsyncStore

__all__ = ["Belonging"]

logger = logging.getLogger(__name__)

# The folder of a job that is just being stored says nothing about the database.
YOUNG_S = 600.0


class Belonging:
    """What is known of one data folder and one database.

    Args:
        store: The database.
        files: The data folder.
    """

    def __init__(self, store: AsyncStore, files: JobFiles) -> None:
        self._store = store
        self._files = files
        self._has_warned = False

    async def confirm(self) -> float | None:
        """Return the time of the last mark, by the clock of the folder's file system; None where they do not match.

        Raises:
            StoreUnavailable: The store cannot be used now.
            OSError: The mark in the folder cannot be read or written.
        """
        place = await asyncio.to_thread(lambda: self._files.place)  # which makes the folder where it is not there
        with _locked(self._files.mark) as file:
            if file is None:  # another server of this folder looks at this moment
                return None
            text, since_s = await asyncio.to_thread(_read, file)
            told = await self._store.mark(place)
            if not text:
                await self._meet(file, told)
                return None
            if told is None or told not in text.split():
                self._warn()
                return None
            await self._change(file, told)
            return since_s

    async def _meet(self, file: IO[str], told: str | None) -> None:
        """A folder without a mark is new, of an older version, or its operator has taken the mark away."""
        kept = await asyncio.to_thread(self._old_folders)
        if told is not None or not kept or await self._store.knows_any(kept):
            mark = uuids.uuid4().hex
            await self._store.set_mark(self._files.place, told, mark)
            await asyncio.to_thread(_write, file, mark)
            return
        # Not ours, and it is not to become ours by the next job: only the operator can say so, by removing the mark.
        await asyncio.to_thread(_write, file, uuids.uuid4().hex)
        await self._store.set_mark(self._files.place, None, "")
        self._warn()

    async def _change(self, file: IO[str], told: str) -> None:
        mark = uuids.uuid4().hex
        await asyncio.to_thread(_write, file, f"{told} {mark}")
        if await self._store.set_mark(self._files.place, told, mark):
            await asyncio.to_thread(_write, file, mark)

    def _old_folders(self) -> Sequence[str]:
        found, before_s = [], time.time() - YOUNG_S
        for uuid in self._files.kept():
            with contextlib.suppress(OSError):
                if self._files.folder(uuid).stat().st_mtime < before_s:
                    found.append(uuid)
        return found

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the data folder %s and the database do not belong together (another database, a restored or an emptied"
                " one, or a copy of the folder): files of jobs that the database does not know are left as they are."
                " Give the right --database or --data-dir; or, where these two are to go together from now on and such"
                " files may be removed, remove the file %s",
                self._files.mark.parent,
                self._files.mark,
            )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[str] | None]:
    """Give the file, which others of this folder do not use meanwhile; None while one of them does."""
    with open(path, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        except OSError:  # a file system without locks
            yield file
        else:
            yield file


def _read(file: IO[str]) -> tuple[str, float]:
    file.seek(0)
    return file.read().strip(), Path(file.name).stat().st_mtime


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
