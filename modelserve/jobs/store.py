"""Keeps the jobs: every change is one transaction that checks what was there, so of two that race only one wins.

    add        ->  queued
    take       ->  queued  to running       by one server, however many ask
    report     ->  progress and metrics of what runs
    move       ->  along MOVES              None where another move was quicker
    beat, reap ->  running to lost, or queued again, once their server has gone

It blocks; a server asks through thread.py. Any number of threads, processes and, with PostgreSQL, machines may use one
database. Every method raises StoreUnavailable where the database cannot be used now, and NoSpace where it is full; then
nothing has changed.
"""

from __future__ import annotations

import builtins  # a method of the store is called list
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from modelserve.errors import Conflict, NotFound, QueueFull
from modelserve.jobs.database import Database
from modelserve.jobs.deliveries import Deliveries, owe
from modelserve.jobs.history import add_points
from modelserve.jobs.job import ENDED, MOVES, Job, NewJob, Operation, Page, Point, Report, Status
from modelserve.jobs.opening import open_database
from modelserve.jobs.rows import as_cursor, as_job, as_key, as_point, as_row, as_text, as_uuid, before
from modelserve.jobs.tables import Now, callbacks, jobs, outputs, owners, points, requests

__all__ = ["Store"]

# How long a database that does not answer is waited for at start.
WAIT_S = 10.0

# How many jobs are removed in one transaction, so that others need not wait for long.
PURGED_AT_ONCE = 500

# What a server that has gone leaves behind is said in one sentence.
GONE = "The server that ran it has gone."

# All of a job but request and output, which may be large.
_LIGHT = [column for column in jobs.c if column.name not in {"fingerprint", "key"}]

_ENDED = sorted(ENDED)

# A job that is queued again begins anew.
_ANEW = {"owner": "", "started": None, "progress": None, "metrics": "{}", "step": 0, "points": 0}


class Store:
    """The jobs of one database; ``deliveries`` are the callbacks of those that have ended.

    Args:
        database: An open one.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.deliveries = Deliveries(database)

    @classmethod
    def open(cls, url: str, data_dir: Path, *, wait_s: float = WAIT_S) -> Self:
        """Open the store of these settings, ready to use; whoever opens it closes it.

        Raises:
            StoreBroken: The database is damaged, or another program's; it is left as it is.
            StoreNewer: A newer version has written it; it is left as it is.
            StoreUnreachable: The data folder or the database cannot be made, written or reached.
        """
        return cls(open_database(url, data_dir, wait_s=wait_s))

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def add(self, new: NewJob, *, key: str = "", most: int = 0) -> Job:
        """Store a queued job; it is on the disk once this returns.

        Args:
            new: The job.
            key: The client's Idempotency-Key. A job of the same key, deployment and operation is returned in its
                place, which shows by its other ``uuid``.
            most: Jobs of the deployment and operation that may wait, 0 for any number.

        Raises:
            Conflict: That job was another request, by its ``fingerprint``.
            QueueFull: So many wait already.
        """
        try:
            with self.database.writing() as connection:
                if job := self._of_key(connection, new, key):
                    return job
                if most and _waiting(connection, new, most) >= most:
                    raise QueueFull(f"{most} jobs are waiting for this model already; try again later.")
                return self._insert(connection, new, key)
        except IntegrityError:  # on PostgreSQL, the same key in another transaction a moment ago
            with self.database.reading() as connection:
                if job := self._of_key(connection, new, key):
                    return job
            raise

    def get(
        self, uuid: str, *, deployment: str = "", operation: Operation | str = "", client: str | None = None
    ) -> Job:
        """Return a job, of this deployment, operation and client where they are given.

        Raises:
            NotFound: There is none.
        """
        wanted = [jobs.c.uuid == as_uuid(uuid)]
        wanted += [jobs.c.deployment == deployment] if deployment else []
        wanted += [jobs.c.operation == operation] if operation else []
        wanted += [] if client is None else [jobs.c.client == client]
        with self.database.reading() as connection:
            return _one(connection, and_(*wanted))

    def list(
        self,
        deployment: str,
        operation: Operation | str,
        *,
        limit: int,
        cursor: str = "",
        client: str | None = None,
    ) -> Page:
        """Return the next ``limit`` jobs, of this client where one is given, newest first, without request and output.

        Raises:
            BadRequest: The cursor is none that a page has given.
        """
        wanted = [_is(deployment, operation), jobs.c.id < before(cursor)]
        wanted += [] if client is None else [jobs.c.client == client]
        query = select(*_LIGHT).where(*wanted).order_by(jobs.c.id.desc()).limit(limit + 1)
        with self.database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        more = as_cursor(rows[limit - 1]["id"]) if len(rows) > limit else ""
        return Page([as_job(row) for row in rows[:limit]], more)

    def take(self, owner: str, free: Mapping[tuple[str, Operation], int], place: str) -> Job | None:
        """Give a server the oldest job it may run, running from now on; None where there is none.

        Args:
            owner: The server's id.
            free: How many more jobs it can run, by deployment and operation.
            place: The id of its data folder; a job whose files lie in another is not for it.
        """
        slots = [_is(deployment, operation) for (deployment, operation), count in free.items() if count > 0]
        if not slots:
            return None
        wanted = (jobs.c.status == Status.QUEUED, or_(*slots), jobs.c.place.in_(("", place)))
        oldest = select(jobs.c.id).where(*wanted).order_by(jobs.c.id).limit(1).with_for_update(skip_locked=True)
        begun = {"status": Status.RUNNING, "owner": owner, "attempts": jobs.c.attempts + 1, "started": Now()}
        with self.database.writing() as connection:
            id = connection.execute(oldest).scalar()
            mine = and_(jobs.c.id == id, jobs.c.status == Status.QUEUED)
            if id is None or not connection.execute(update(jobs).where(mine).values(begun)).rowcount:
                return None
            return _one(connection, jobs.c.id == id)

    def report(self, owner: str, reports: Sequence[Report]) -> None:
        """Note what running jobs have told, in one transaction; reports of jobs that this server lost are dropped.

        Each report with metrics is a point of the job's history; one without a step is one step further than the last.
        """
        by_job: dict[str, list[Report]] = {}
        for report in reports:
            by_job.setdefault(report.uuid, []).append(report)
        if by_job:
            with self.database.writing() as connection:
                for uuid in sorted(by_job):  # always in this order, so that no two transactions wait for each other
                    add_points(connection, owner, uuid, by_job[uuid])

    def move(
        self,
        uuid: str,
        to: Status,
        *,
        owner: str | None = None,
        message: str = "",
        output: bytes | None = None,
        output_bytes: int = 0,
    ) -> Job | None:
        """Move a job along MOVES, and return it as it then is; None where its status, or its owner, forbids it.

        Args:
            uuid: The job.
            to: Its new status; ``running`` is for :meth:`take` alone.
            owner: Only if it runs on this server.
            message: One sentence on how it ended.
            output: What it returned, JSON.
            output_bytes: The size of what it returned; that of ``output`` where this is given.
        """
        if to is Status.RUNNING:
            raise ValueError("a job begins to run by take")
        values = _ANEW if to is Status.QUEUED else {**_ended(), "output_bytes": output_bytes or len(output or b"")}
        wanted = [jobs.c.uuid == uuid, jobs.c.status.in_([status for status in MOVES if to in MOVES[status]])]
        wanted += [] if owner is None else [jobs.c.owner == owner]
        changed = update(jobs).where(*wanted).values(**values, status=to, message=as_text(message))
        with self.database.writing() as connection:
            if not connection.execute(changed).rowcount:
                return None
            id = connection.execute(select(jobs.c.id).where(jobs.c.uuid == uuid)).scalar_one()
            if output is not None:
                connection.execute(insert(outputs).values(job=id, output=output))
            connection.execute(_of_jobs(points if to is Status.QUEUED else requests, [id]))
            if to in ENDED:
                owe(connection, [id])
            return _one(connection, jobs.c.id == id)

    def beat(self, owner: str) -> frozenset[str]:
        """Note that this server lives, and return the uuids of the jobs that it runs by what is stored."""
        running = select(jobs.c.uuid).where(jobs.c.status == Status.RUNNING, jobs.c.owner == owner)
        with self.database.writing() as connection:
            if not connection.execute(update(owners).where(owners.c.id == owner).values(beat=Now())).rowcount:
                connection.execute(insert(owners).values(id=owner, beat=Now()))
            return frozenset(connection.execute(running).scalars())

    def reap(self, owner: str, *, stale_s: float, is_dead: Callable[[str], bool | None]) -> builtins.list[Job]:
        """End or queue again what servers that have gone were running, and return these jobs as they then are.

        Args:
            owner: The server that asks; its own jobs are left alone.
            stale_s: How old the heartbeat of a server is that has gone.
            is_dead: Whether a server has gone, None where only its heartbeat can say.
        """
        others = select(jobs.c.owner).distinct().where(jobs.c.status == Status.RUNNING, jobs.c.owner != owner)
        with self.database.reading() as connection:
            names = sorted(connection.execute(others).scalars())
        known = [(name, is_dead(name)) for name in names]
        reaped: builtins.list[Job] = []
        for name, dead in known:
            if dead is not False:
                reaped += self._reap(name, stale_s if dead is None else None)
        return reaped

    def queued(self) -> dict[tuple[str, Operation], int]:
        """Return how many jobs wait, by deployment and operation."""
        query = select(jobs.c.deployment, jobs.c.operation, func.count()).where(jobs.c.status == Status.QUEUED)
        with self.database.reading() as connection:
            rows = connection.execute(query.group_by(jobs.c.deployment, jobs.c.operation)).all()
        return {(deployment, Operation(operation)): count for deployment, operation, count in rows}

    def history(self, uuid: str) -> builtins.list[Point]:
        """Return the metrics that a job has reported, by step."""
        query = select(points).join(jobs).where(jobs.c.uuid == uuid).order_by(points.c.step, points.c.id)
        with self.database.reading() as connection:
            return [as_point(row) for row in connection.execute(query).mappings()]

    def clock(self) -> float:
        """Return the time of the database's clock, in seconds since 1970 in UTC."""
        with self.database.reading() as connection:
            return float(connection.execute(select(Now())).scalar_one())

    def purge(
        self,
        max_age_s: float,
        max_jobs: int,
        *,
        min_age_s: float = 0.0,
        deployments: Iterable[str] | None = None,
        now: float | None = None,
    ) -> builtins.list[str]:
        """Remove jobs that ended long ago, and those over the number that ended first; return their uuids.

        A job whose callback is still owed stays.

        Args:
            max_age_s: How long a job is kept once it has ended.
            max_jobs: How many are kept, of each deployment and operation.
            min_age_s: How long each is kept whatever their number.
            deployments: Only jobs of these; None for all.
            now: The time that ages are told from, where that is not the database's clock.
        """
        removable = [jobs.c.status.in_(_ENDED), ~_owed().exists()]
        removable += [] if deployments is None else [jobs.c.deployment.in_(list(deployments))]
        moment = Now() if now is None else now
        beyond = and_(jobs.c.finished < moment - min_age_s, jobs.c.id.in_(_beyond(max_jobs)))
        old = jobs.c.finished < moment - max(max_age_s, min_age_s)
        oldest = select(jobs.c.id, jobs.c.uuid).where(*removable, or_(old, beyond))
        # What another server removes at this moment is for it to tell.
        query = oldest.order_by(jobs.c.id).limit(PURGED_AT_ONCE).with_for_update(skip_locked=True)
        removed: builtins.list[str] = []
        while True:
            with self.database.writing() as connection:
                rows = connection.execute(query).all()
                connection.execute(delete(jobs).where(jobs.c.id.in_([row.id for row in rows]), *removable))
            removed += [row.uuid for row in rows]
            if len(rows) < PURGED_AT_ONCE:
                return removed

    def _of_key(self, connection: Connection, new: NewJob, key: str) -> Job | None:
        if not key:
            return None
        same = and_(_is(new.deployment, new.operation), jobs.c.key == as_key(key, new.client))
        row = connection.execute(select(jobs.c.id, jobs.c.fingerprint).where(same)).first()
        if row is None:
            return None
        if row.fingerprint != new.fingerprint:
            raise Conflict("This Idempotency-Key came with another request before.")
        return _one(connection, jobs.c.id == row.id)

    def _insert(self, connection: Connection, new: NewJob, key: str) -> Job:
        connection.execute(insert(jobs).values(**as_row(new, key), created=Now()))
        id = connection.execute(select(jobs.c.id).where(jobs.c.uuid == new.uuid)).scalar_one()
        connection.execute(insert(requests).values(job=id, request=new.request))
        return _one(connection, jobs.c.id == id)

    def _reap(self, gone: str, stale_s: float | None) -> builtins.list[Job]:
        """End what a server was running, unless its heartbeat, where that counts, has come back meanwhile."""
        running = [jobs.c.status == Status.RUNNING, jobs.c.owner == gone]
        if stale_s is not None:
            lives = select(owners.c.id).where(owners.c.id == gone, owners.c.beat >= Now() - stale_s)
            running.append(~lives.exists())
        # In the order of reports: those of a server that comes back at this moment lock the same rows.
        query = select(jobs.c.id, jobs.c.attempts <= jobs.c.retries).where(*running).order_by(jobs.c.uuid)
        with self.database.writing() as connection:
            found = {row[0]: bool(row[1]) for row in connection.execute(query.with_for_update())}
            again, lost = [id for id in found if found[id]], [id for id in found if not found[id]]
            queued = update(jobs).where(jobs.c.id.in_(again))
            connection.execute(queued.values(**_ANEW, status=Status.QUEUED, message=""))
            ended = update(jobs).where(jobs.c.id.in_(lost))
            connection.execute(ended.values(**_ended(), status=Status.LOST, message=GONE))
            connection.execute(_of_jobs(points, again))
            connection.execute(_of_jobs(requests, lost))
            owe(connection, lost)
            return [_one(connection, jobs.c.id == id) for id in found]


def _ended() -> dict[str, Any]:
    """Return what is written of a job at its end, whatever that is: when it came, and as which of all ends."""
    every = jobs.alias()
    number = select(func.coalesce(func.max(every.c.ended), 0) + 1).scalar_subquery()
    return {"finished": Now(), "ended": number}


def _owed() -> Select[int]:
    """Return the query for the callback of a job that is not over."""
    return select(callbacks.c.job).where(callbacks.c.job == jobs.c.id, callbacks.c.due.is_not(None))


def _beyond(most: int) -> Select[int]:
    """Return the query for the ended jobs of each kind that so many others have ended after."""
    latest = (func.coalesce(jobs.c.ended, 0).desc(), jobs.c.finished.desc(), jobs.c.id.desc())
    place = func.row_number().over(partition_by=(jobs.c.deployment, jobs.c.operation), order_by=latest)
    ranked = select(jobs.c.id, place.label("place")).where(jobs.c.status.in_(_ENDED)).subquery()
    return select(ranked.c.id).where(ranked.c.place > most)


def _is(deployment: str, operation: Operation | str) -> ColumnElement[bool]:
    return and_(jobs.c.deployment == deployment, jobs.c.operation == operation)


def _waiting(connection: Connection, new: NewJob, most: int) -> int:
    """Return how many jobs wait as this one would; counts no further than ``most``."""
    same = (jobs.c.status == Status.QUEUED, jobs.c.deployment == new.deployment, jobs.c.operation == new.operation)
    counted = select(jobs.c.id).where(*same).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(counted)).scalar_one())


def _one(connection: Connection, wanted: ColumnElement[bool]) -> Job:
    """Return the one job that is wanted, with its request and output.

    Raises:
        NotFound: There is none.
    """
    both = jobs.outerjoin(requests).outerjoin(outputs)
    query = select(*_LIGHT, requests.c.request, outputs.c.output).select_from(both).where(wanted)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound("There is no job of this id.")
    return as_job(row)


def _of_jobs(table: Table, ids: Iterable[int]) -> Delete:
    """Return the statement that removes what a table holds of some jobs."""
    return delete(table).where(table.c.job.in_(ids))
