"""All that a server needs to keep and run jobs, opened in order and closed in reverse.

settings -> data folder -> store (on a thread: its libraries are large) -> owner -> Runner
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelserve.jobs.data_folder import data_folder
from modelserve.jobs.files import JobFiles
from modelserve.jobs.owners import Owner
from modelserve.jobs.runner import Runner
from modelserve.jobs.thread import AsyncStore
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.tracing import Tracing

if TYPE_CHECKING:
    from modelserve.jobs.store import Store

__all__ = ["keep_jobs"]


@contextlib.asynccontextmanager
async def keep_jobs(fleet: Fleet, settings: Settings, tracing: Tracing | None = None) -> AsyncIterator[Runner | None]:
    """Keep and run the jobs of a fleet's deployments; None where trainings are switched off for all of them.

    Args:
        fleet: It is entered.
        settings: Where jobs are kept, and how they are run.
        tracing: Makes a span of each run; None for none.

    Raises:
        StoreBroken: On entering, when the database is damaged.
        StoreNewer: On entering, when a newer version has written it.
        StoreUnreachable: On entering, when the data folder or the database cannot be made, written or reached.
    """
    if not any(settings.of(name).train for name in fleet.deployments):
        yield None
        return
    folder = data_folder(settings.data_dir)
    async with contextlib.AsyncExitStack() as stack:
        opened = await asyncio.to_thread(_open, settings.database, folder)
        store = AsyncStore(opened)
        stack.push_async_callback(store.close)
        owner = stack.enter_context(Owner(folder))
        runner = Runner(store, opened.servers.apart(), JobFiles(folder), owner, fleet, settings, tracing=tracing)
        yield await stack.enter_async_context(runner)


def _open(database: str, folder: Path) -> Store:
    # Loading SQLAlchemy takes about as long as a worker's start, which goes on meanwhile.
    from modelserve.jobs.store import Store

    return Store.open(database, folder)
