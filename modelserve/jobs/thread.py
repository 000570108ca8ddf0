"""The store for a server: the same methods as coroutines, on threads of its own.

    ends    what is small and decides something: a job is taken, has ended, has told how far it is; callbacks
    work    what may be large or take its time: a job is stored, its request is read to run it, old ones are removed
    reads   what clients ask

Threads of its own, since one statement may wait for seconds for another program's lock, and asyncio's default pool is
for what is quick. Each does one thing after another, with a connection to itself, so that the end of a job waits for
nobody who reads. What has waited for its turn for longer than a lock is waited for is refused, so that a locked
database does not make each request wait for all before it. Heartbeats wait for none of these: see heartbeat.py.
"""

from __future__ import annotations

import asyncio
import builtins  # a method of the store is called list
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from modelserve.errors import StoreUnavailable
from modelserve.jobs.job import ANY_ROOM, Delivery, Job, NewJob, Operation, Page, Point, Report, Room, Status, Wanted
from modelserve.threads import Threads

__all__ = ["AsyncStore"]

if TYPE_CHECKING:  # it loads SQLAlchemy, which the server does on a thread while its workers start
    from modelserve.jobs.store import Store

T = TypeVar("T")

# As long as one statement waits for another program's lock.
TURN_S = 5.0


class AsyncStore:
    """A store on threads; each method promises what the store's does, and may raise StoreUnavailable for waiting.

    A cancelled call that waits for its turn is not run; one that runs is finished.

    Args:
        store: An open one. It is closed by :meth:`close`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ends, self._work, self._reads = (
            Threads(1, f"modelserve-store-{name}") for name in ("ends", "work", "reads")
        )

    def hurry(self, silence_s: float) -> None:
        """Wait no longer for a database of which nothing is heard; see :meth:`Database.hurry`. Never blocks."""
        self._store.database.hurry(silence_s)

    async def close(self) -> None:
        """Finish what waits, close the store and end the threads."""
        for thread in (self._reads, self._work, self._ends):
            await asyncio.to_thread(thread.shutdown)
        await asyncio.to_thread(self._store.close)

    async def add(
        self, new: NewJob, *, key: str = "", most: int = 0, room: Room = ANY_ROOM, is_again: bool = False
    ) -> Job:
        """Store a queued job; see :meth:`Store.add`."""
        wanted = partial(self._store.add, key=key, most=most, room=room, is_again=is_again)
        return await _done(self._work, partial(wanted, new))

    async def check_room(self, room: Room, wanted: Wanted, size: int) -> None:
        """See that a job of this size would find room, or is there; see :meth:`Store.check_room`."""
        await _done(self._reads, partial(self._store.check_room, room, wanted, size))

    async def held_bytes(self) -> int:
        """Return how many bytes the jobs take that have not ended; see :meth:`Store.held_bytes`."""
        return await _done(self._reads, self._store.held_bytes)

    async def give_back(self) -> None:
        """Give back to the disk what the database does not need; see :meth:`Store.give_back`."""
        await _done(self._work, self._store.give_back)

    async def forget_servers(self) -> None:
        """Forget servers that have gone long ago; see :meth:`Servers.forget`."""
        await _done(self._work, self._store.servers.forget)

    async def has_stored(self, new: NewJob) -> bool:
        """Tell for certain whether a job is there; see :meth:`Store.has_stored`."""
        return await _done(self._work, partial(self._store.has_stored, new))

    async def get(
        self, uuid: str, *, deployment: str = "", operation: Operation | str = "", client: str | None = None
    ) -> Job:
        """Return a job; see :meth:`Store.get`."""
        wanted = partial(self._store.get, deployment=deployment, operation=operation, client=client)
        return await _done(self._reads, partial(wanted, uuid))

    async def list(
        self,
        deployment: str,
        operation: Operation | str,
        *,
        limit: int,
        cursor: str = "",
        client: str | None = None,
        output_room: int = 0,
    ) -> Page:
        """Return the next jobs, newest first; see :meth:`Store.list`."""
        wanted = partial(self._store.list, limit=limit, cursor=cursor, client=client, output_room=output_room)
        return await _done(self._reads, partial(wanted, deployment, operation))

    async def take(
        self,
        owner: str,
        free: Mapping[tuple[str, Operation], int],
        place: str,
        *,
        models: Mapping[str, str] | None = None,
        without: Collection[str] = (),
    ) -> Job | None:
        """Give a server the oldest job it may run; see :meth:`Store.take`."""
        wanted = partial(self._store.take, models=models, without=without)
        return await _done(self._ends, partial(wanted, owner, dict(free), place))

    async def request(self, job: Job) -> bytes | None:
        """Return the request of a job that was taken; see :meth:`Store.request`."""
        return await _done(self._work, partial(self._store.request, job))

    async def report(self, owner: str, reports: Sequence[Report]) -> None:
        """Note what running jobs have told; see :meth:`Store.report`."""
        await _done(self._ends, partial(self._store.report, owner, tuple(reports)))

    async def move(
        self,
        uuid: str,
        to: Status,
        *,
        owner: str | None = None,
        attempt: int | None = None,
        was_begun: bool = True,
        message: str = "",
        output: bytes | None = None,
        output_bytes: int = 0,
    ) -> Job | None:
        """Move a job to another status; see :meth:`Store.move`."""
        ended = partial(self._store.move, message=message, output=output, output_bytes=output_bytes)
        wanted = partial(ended, owner=owner, attempt=attempt, was_begun=was_begun)
        return await _done(self._ends, partial(wanted, uuid, to))

    async def foreign(self, models: Mapping[str, str]) -> builtins.list[Job]:
        """Return queued jobs that another model has validated; see :meth:`Store.foreign`."""
        return await _done(self._reads, partial(self._store.foreign, models))

    async def deployments(self) -> frozenset[str]:
        """Return the names of the deployments of which there are jobs; see :meth:`Store.deployments`."""
        return await _done(self._reads, self._store.deployments)

    async def queued(self) -> dict[tuple[str, Operation], int]:
        """Return how many jobs wait; see :meth:`Store.queued`."""
        return await _done(self._reads, self._store.queued)

    async def history(self, uuid: str) -> builtins.list[Point]:
        """Return the metrics that a job has reported; see :meth:`Store.history`."""
        return await _done(self._reads, partial(self._store.history, uuid))

    async def clock(self) -> float:
        """Return the time of the database's clock; see :meth:`Store.clock`."""
        return await _done(self._reads, self._store.clock)

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
        return await _done(self._work, partial(wanted, max_age_s, max_jobs))

    async def mark(self, place: str) -> str | None:
        """Return the mark of a data folder; see :meth:`Folders.mark`."""
        return await _done(self._reads, partial(self._store.folders.mark, place))

    async def set_mark(self, place: str, before: str | None, mark: str) -> bool:
        """Give a data folder another mark; see :meth:`Folders.set_mark`."""
        return await _done(self._work, partial(self._store.folders.set_mark, place, before, mark))

    async def knows_any(self, uuids: Sequence[str]) -> bool:
        """Tell whether one of these jobs is known; see :meth:`Folders.knows_any`."""
        return await _done(self._reads, partial(self._store.folders.knows_any, uuids))

    async def take_delivery(self, lease_s: float, *, without: Collection[str] = ()) -> Delivery | None:
        """Give this server a callback that is due; see :meth:`Deliveries.take`."""
        return await _done(self._ends, partial(self._store.deliveries.take, lease_s, without=without))

    async def postpone_delivery(self, delivery: Delivery, pause_s: float) -> None:
        """Have a callback tried again after a pause; see :meth:`Deliveries.postpone`."""
        await _done(self._ends, partial(self._store.deliveries.postpone, delivery, pause_s))

    async def end_delivery(self, delivery: Delivery, outcome: str) -> None:
        """Note that a callback is over; see :meth:`Deliveries.end`."""
        await _done(self._ends, partial(self._store.deliveries.end, delivery, outcome))


async def _done(thread: Threads, work: Callable[[], T]) -> T:
    """Do a piece of work on a thread once it is its turn, which is waited for only so long.

    Raises:
        StoreUnavailable: The turn did not come.
    """
    waiting = thread.submit(work)
    late = _Late(waiting)
    timer = asyncio.get_running_loop().call_later(TURN_S, late.refuse)
    try:
        return await asyncio.wrap_future(waiting)
    except asyncio.CancelledError:
        if not late.is_refused:
            raise
        raise StoreUnavailable("The store of jobs is too busy now.") from None
    finally:
        timer.cancel()


class _Late:
    """A piece of work that is refused where its turn has not come; ``is_refused`` tells whether it was."""

    def __init__(self, waiting: Future[T]) -> None:
        self._waiting = waiting
        self.is_refused = False

    def refuse(self) -> None:
        self.is_refused = self._waiting.cancel()
