"""The store for a server: the same methods as coroutines, run one after another on one thread of their own.

A thread of its own, since one statement may wait for seconds for another program's lock, and asyncio's default pool is
for what is quick. One thread, since SQLite has one writer anyway. What has waited for its turn for longer than a lock
is waited for is refused, so that a locked database does not make each request wait for all before it.
"""

from __future__ import annotations

import asyncio
import builtins  # a method of the store is called list
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from modelserve.errors import StoreUnavailable
from modelserve.jobs.job import Delivery, Job, NewJob, Operation, Page, Point, Report, Status

__all__ = ["AsyncStore"]

if TYPE_CHECKING:  # it loads SQLAlchemy, which the server does on a thread while its workers start
    from modelserve.jobs.store import Store

T = TypeVar("T")

# As long as one statement waits for another program's lock.
TURN_S = 5.0


class AsyncStore:
    """A store on one thread; each method promises what the store's does, and may raise StoreUnavailable for waiting.

    A cancelled call that waits for its turn is not run; one that runs is finished.

    Args:
        store: An open one. It is closed by :meth:`close`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="modelserve-store")

    async def close(self) -> None:
        """Finish what waits, close the store and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown()

    async def add(self, new: NewJob, *, key: str = "", most: int = 0) -> Job:
        """Store a queued job; see :meth:`Store.add`."""
        return await self._run(partial(self._store.add, new, key=key, most=most))

    async def get(
        self, uuid: str, *, deployment: str = "", operation: Operation | str = "", client: str | None = None
    ) -> Job:
        """Return a job; see :meth:`Store.get`."""
        wanted = partial(self._store.get, deployment=deployment, operation=operation, client=client)
        return await self._run(partial(wanted, uuid))

    async def list(
        self,
        deployment: str,
        operation: Operation | str,
        *,
        limit: int,
        cursor: str = "",
        client: str | None = None,
    ) -> Page:
        """Return the next jobs, newest first; see :meth:`Store.list`."""
        wanted = partial(self._store.list, limit=limit, cursor=cursor, client=client)
        return await self._run(partial(wanted, deployment, operation))

    async def take(self, owner: str, free: Mapping[tuple[str, Operation], int], place: str) -> Job | None:
        """Give a server the oldest job it may run; see :meth:`Store.take`."""
        return await self._run(partial(self._store.take, owner, dict(free), place))

    async def report(self, owner: str, reports: Sequence[Report]) -> None:
        """Note what running jobs have told; see :meth:`Store.report`."""
        await self._run(partial(self._store.report, owner, tuple(reports)))

    async def move(
        self,
        uuid: str,
        to: Status,
        *,
        owner: str | None = None,
        message: str = "",
        output: bytes | None = None,
        output_bytes: int = 0,
    ) -> Job | None:
        """Move a job to another status; see :meth:`Store.move`."""
        ended = partial(self._store.move, message=message, output=output, output_bytes=output_bytes)
        return await self._run(partial(ended, uuid, to, owner=owner))

    async def beat(self, owner: str) -> frozenset[str]:
        """Note that this server lives; see :meth:`Store.beat`."""
        return await self._run(partial(self._store.beat, owner))

    async def reap(self, owner: str, *, stale_s: float, is_dead: Callable[[str], bool | None]) -> builtins.list[Job]:
        """End or queue again what servers that have gone were running; see :meth:`Store.reap`."""
        return await self._run(partial(self._store.reap, owner, stale_s=stale_s, is_dead=is_dead))

    async def queued(self) -> dict[tuple[str, Operation], int]:
        """Return how many jobs wait; see :meth:`Store.queued`."""
        return await self._run(self._store.queued)

    async def history(self, uuid: str) -> builtins.list[Point]:
        """Return the metrics that a job has reported; see :meth:`Store.history`."""
        return await self._run(partial(self._store.history, uuid))

    async def clock(self) -> float:
        """Return the time of the database's clock; see :meth:`Store.clock`."""
        return await self._run(self._store.clock)

    async def purge(
        self,
        max_age_s: float,
        max_jobs: int,
        *,
        min_age_s: float = 0.0,
        deployments: Iterable[str] | None = None,
        now: float | None = None,
    ) -> builtins.list[str]:
        """Remove ended jobs that are old or too many; see :meth:`Store.purge`."""
        wanted = partial(self._store.purge, min_age_s=min_age_s, deployments=deployments, now=now)
        return await self._run(partial(wanted, max_age_s, max_jobs))

    async def take_delivery(self, lease_s: float) -> Delivery | None:
        """Give this server a callback that is due; see :meth:`Deliveries.take`."""
        return await self._run(partial(self._store.deliveries.take, lease_s))

    async def postpone_delivery(self, delivery: Delivery, pause_s: float) -> None:
        """Have a callback tried again after a pause; see :meth:`Deliveries.postpone`."""
        await self._run(partial(self._store.deliveries.postpone, delivery, pause_s))

    async def end_delivery(self, delivery: Delivery, outcome: str) -> None:
        """Note that a callback is over; see :meth:`Deliveries.end`."""
        await self._run(partial(self._store.deliveries.end, delivery, outcome))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _in_time(work))


def _in_time(work: Callable[[], T]) -> Callable[[], T]:
    asked = time.monotonic()

    def run() -> T:
        if time.monotonic() - asked > TURN_S:
            raise StoreUnavailable("The store of jobs is too busy now.")
        return work()

    return run
