"""Keeps the roll as the database has it, from the start of a server to its end.

    database  --every 0.5 s its generation, and all of it where that has changed-->  Roll

The database is opened once it is there; none is made only for its clients. While it cannot be read, what was known last
counts; tokens expire as they were to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from modelserve.access.roll import Roll, Snapshot
from modelserve.errors import ModelserveError
from modelserve.jobs.data_folder import data_folder, has_database
from modelserve.jobs.outage import Outage
from modelserve.settings import Settings
from modelserve.supervised import Supervisor
from modelserve.threads import Threads

if TYPE_CHECKING:  # it loads SQLAlchemy
    from modelserve.jobs.database import Database

__all__ = ["POLL_S", "keep_roll"]

logger = logging.getLogger(__name__)

# A token that is revoked is refused within a second, wherever that was done.
POLL_S = 0.5

# How long a database that does not answer is waited for.
WAIT_S = 10.0


@contextlib.asynccontextmanager
async def keep_roll(settings: Settings, supervisor: Supervisor | None = None) -> AsyncIterator[Roll]:
    """Give the roll of a server, and keep it up to date.

    Args:
        settings: Where the database is.
        supervisor: Keeps it up to date; one of its own by default.

    Raises:
        StoreBroken: On entering, when the database is damaged: whether there are clients cannot be known then.
        StoreNewer: On entering, when a newer version has written it.
        StoreUnreachable: On entering, when it cannot be reached.
        StoreUnavailable: On entering, when it cannot be read now.
    """
    keeper = _Keeper(settings, supervisor or Supervisor())
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(keeper.close)
        await keeper.refresh()
        following = keeper.supervisor.task("clients", keeper.follow)
        stack.push_async_callback(_cancel, following)
        yield keeper.roll


class _Keeper:
    """Reads the database on a thread of its own: that of the jobs may wait for seconds for a lock."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.roll = Roll(settings.failed_logins)
        self._settings = settings
        self._database: Database | None = None
        self._outage = Outage(consequence="clients stay as they were")
        self._thread = Threads(1, "modelserve-roll")

    async def follow(self) -> None:
        """Refresh again and again; only being cancelled ends it."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
                self._outage.end()
            except ModelserveError as error:  # one that is for a start too, where the database came after it
                self._tell(error)
            except Exception as error:  # the border of a task that must go on
                self.supervisor.failed("clients", error, what="the clients could not be read from the database")

    async def refresh(self) -> None:
        """Put into the roll what is new."""
        loop = asyncio.get_running_loop()
        snapshot = await loop.run_in_executor(self._thread, self._news)
        if snapshot is None:
            return
        if self.roll.is_empty and snapshot.has_clients:
            logger.info("there are clients: everybody needs a token for what is not public")
        self.roll.replace(snapshot)

    async def close(self) -> None:
        """Finish what runs, if the database says anything, and close what was opened here."""
        if self._database is not None:
            self._database.hurry(0.0)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _news(self) -> Snapshot | None:
        where = self._settings
        if self._database is None and not has_database(where.database, where.data_dir):
            return None
        # Loaded here, on the thread: it takes a while.
        from modelserve.access.clients import Clients
        from modelserve.jobs.opening import open_database

        if self._database is None:
            self._database = open_database(where.database, data_folder(where.data_dir), wait_s=WAIT_S)
        return Clients(self._database).snapshot(self.roll.generation)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _tell(self, error: ModelserveError) -> None:
        """Say it where it matters: with nobody on the roll, it is for the jobs to say that their store is away."""
        if self._database is None or not self.roll.is_empty:
            self._outage.begin(error)


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
