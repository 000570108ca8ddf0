"""Keeps the jobs: every change is one transaction that checks what was there, so of two that race only one wins.

    add        ->  queued
    take       ->  queued  to running       by one server, however many ask
    report     ->  progress and metrics of what runs
    request    ->  what is needed to run it, which is read by nobody else
    move       ->  along MOVES              None where another move was quicker

It blocks; a server asks through thread.py. Any number of threads, processes and, with PostgreSQL, machines may use one
database. Every method raises StoreUnavailable where the database cannot be used now, and NoSpace where it is full; then
nothing has changed, unless it is StoreUnsure: the connection broke while a change was made for good. How servers share
the jobs stands in servers.py.
"""

from __future__ import annotations

import builtins  # a method of the store is called list
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from modelserve.errors import Conflict, QueueFull
from modelserve.jobs.database import Database
from modelserve.jobs.deliveries import Deliveries, owe
from modelserve.jobs.folders import Folders
from modelserve.jobs.history import add_points
from modelserve.jobs.job import (
    ANY_ROOM,
    ENDED,
    MOVES,
    Job,
    NewJob,
    Operation,
    Page,
    Point,
    Report,
    Room,
    Status,
    Wanted,
)
from modelserve.jobs.opening import open_database
from modelserve.jobs.reading import ANEW, LIGHT, ended, of_jobs, one, outputs_of, within
from modelserve.jobs.room import check_room, held_bytes
from modelserve.jobs.rows import as_cursor, as_job, as_key, as_point, as_row, as_text, as_uuid, before
from modelserve.jobs.servers import Servers
from modelserve.jobs.tables import Now, callbacks, jobs, outputs, points, requests

__all__ = ["Store"]

# How long a database that does not answer is waited for at start.
WAIT_S = 10.0

# How many jobs are removed in one transaction, so that others need not wait for long.
PURGED_AT_ONCE = 500

# How many jobs of other models are looked at at once.
FOREIGN_AT_ONCE = 100

_ENDED = sorted(ENDED)


class Store:
    """The jobs of one database; ``deliveries`` are the callbacks of those that have ended, ``servers`` who runs them,
    ``folders`` where their files may lie.

    Args:
        database: An open one.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.deliveries = Deliveries(database)
        self.servers = Servers(database)
        self.folders = Folders(database)

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

    def add(self, new: NewJob, *, key: str = "", most: int = 0, room: Room = ANY_ROOM, is_again: bool = False) -> Job:
        """Store a queued job; it is on the disk once this returns.

        Args:
            new: The job.
            key: The client's Idempotency-Key. A job of the same key, deployment and operation is returned in its
                place, which shows by its other ``uuid``.
            most: Jobs of the deployment and operation that may wait, 0 for any number.
            room: How many bytes the jobs that have not ended may take.
            is_again: This was tried before, and nobody knows what became of it: it may be there.

        Raises:
            Conflict: That job was another request, by its ``fingerprint``.
            QueueFull: So many wait already, or take so many bytes.
            TooLarge: It is more bytes by itself.
            TooManyRequests: So many bytes are taken by jobs of this client.
        """
        try:
            with self.database.writing() as connection:
                if job := self._there(connection, new, key, is_again):
                    return job
                if most and _waiting(connection, new, most) >= most:
                    raise QueueFull(f"{most} jobs are waiting for this model already; try again later.")
                check_room(connection, room, new.client, new.request_bytes or len(new.request))
                return self._insert(connection, new, key)
        except IntegrityError:  # on PostgreSQL, the same key, or our own first try, in another transaction until now
            with self.database.reading() as connection:
                if job := self._there(connection, new, key, is_again):
                    return job
            raise

    def has_stored(self, new: NewJob) -> bool:
        """Tell for certain whether a job is there which was added once, and of which nobody knows what became.

        It is tried to store it again, for nothing: that waits for a transaction which may not have ended yet.
        """
        try:
            with self.database.writing() as connection, connection.begin_nested() as nothing:
                connection.execute(insert(jobs).values(**as_row(new, ""), created=Now()))
                nothing.rollback()
        except IntegrityError:
            return True
        return False

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
            return one(connection, and_(*wanted))

    def list(
        self,
        deployment: str,
        operation: Operation | str,
        *,
        limit: int,
        cursor: str = "",
        client: str | None = None,
        output_room: int = 0,
    ) -> Page:
        """Return the next ``limit`` jobs, of this client where one is given, newest first, without their requests.

        Outputs are there too, those of the newest first, as far as all take no more bytes than ``output_room``.

        Raises:
            BadRequest: The cursor is none that a page has given.
        """
        wanted = [_is(deployment, operation), jobs.c.id < before(cursor)]
        wanted += [] if client is None else [jobs.c.client == client]
        query = select(*LIGHT).where(*wanted).order_by(jobs.c.id.desc()).limit(limit + 1)
        with self.database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            found = outputs_of(connection, within(rows[:limit], output_room)) if output_room else {}
        more = as_cursor(rows[limit - 1]["id"]) if len(rows) > limit else ""
        return Page([as_job(row, found.get(row["id"])) for row in rows[:limit]], more)

    def take(
        self,
        owner: str,
        free: Mapping[tuple[str, Operation], int],
        place: str,
        *,
        models: Mapping[str, str] | None = None,
        without: Collection[str] = (),
    ) -> Job | None:
        """Give a server the oldest job it may run, running from now on; None where there is none.

        Args:
            owner: The server's id.
            free: How many more jobs it can run, by deployment and operation.
            place: The id of its data folder; a job whose files lie in another is not for it.
            models: The identity of the model of each deployment; jobs that another has validated are not for it.
            without: The uuids of jobs that are not for it now: an earlier run of them is still ending there.
        """
        slots = [
            and_(_is(deployment, operation), _is_for((models or {}).get(deployment, "")))
            for (deployment, operation), count in free.items()
            if count > 0
        ]
        if not slots:
            return None
        wanted = [jobs.c.status == Status.QUEUED, or_(*slots), jobs.c.place.in_(("", place))]
        wanted += [jobs.c.uuid.not_in(without)] if without else []
        oldest = select(jobs.c.id).where(*wanted).order_by(jobs.c.id).limit(1).with_for_update(skip_locked=True)
        begun = {"status": Status.RUNNING, "owner": owner, "attempts": jobs.c.attempts + 1, "started": Now()}
        with self.database.writing() as connection:
            id = connection.execute(oldest).scalar()
            mine = and_(jobs.c.id == id, jobs.c.status == Status.QUEUED)
            if id is None or not connection.execute(update(jobs).where(mine).values(begun)).rowcount:
                return None
            return one(connection, jobs.c.id == id)

    def request(self, job: Job) -> bytes | None:
        """Return the request of a job that was taken; None where it does not run so any more.

        It may have many megabytes, and is read for nothing but to run the job.
        """
        query = select(requests.c.request).select_from(requests.join(jobs)).where(_runs_as(job))
        with self.database.reading() as connection:
            found: bytes | None = connection.execute(query).scalar()
            return found

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
        attempt: int | None = None,
        was_begun: bool = True,
        message: str = "",
        output: bytes | None = None,
        output_bytes: int = 0,
    ) -> Job | None:
        """Move a job along MOVES, and return it as it then is; None where its status, or its owner, forbids it.

        Args:
            uuid: The job.
            to: Its new status; ``running`` is for :meth:`take` alone.
            owner: Only if it runs on this server.
            attempt: Only if it has been begun so often: by an earlier run of it nothing is changed any more.
            was_begun: Without, a job that is queued again had only been taken, and that does not count as an attempt.
            message: One sentence on how it ended.
            output: What it returned, JSON.
            output_bytes: The size of what it returned; that of ``output`` where this is given.
        """
        if to is Status.RUNNING:
            raise ValueError("a job begins to run by take")
        if to is Status.QUEUED:
            values = {**ANEW, "attempts": jobs.c.attempts - (0 if was_begun else 1)}
        else:
            values = {**ended(), "output_bytes": output_bytes or len(output or b"")}
        wanted = [jobs.c.uuid == uuid, jobs.c.status.in_([status for status in MOVES if to in MOVES[status]])]
        wanted += [] if owner is None else [jobs.c.owner == owner]
        wanted += [] if attempt is None else [jobs.c.attempts == attempt]
        changed = update(jobs).where(*wanted).values(**values, status=to, message=as_text(message))
        with self.database.writing() as connection:
            if not connection.execute(changed).rowcount:
                return None
            id = connection.execute(select(jobs.c.id).where(jobs.c.uuid == uuid)).scalar_one()
            if output is not None:
                connection.execute(insert(outputs).values(job=id, output=output))
            connection.execute(of_jobs(points if to is Status.QUEUED else requests, [id]))
            if to in ENDED:
                owe(connection, [id])
            return one(connection, jobs.c.id == id)

    def foreign(self, models: Mapping[str, str]) -> builtins.list[Job]:
        """Return some of the queued jobs of these deployments that another model has validated, oldest first."""
        others = [and_(jobs.c.deployment == name, ~_is_for(model)) for name, model in models.items()]
        query = select(*LIGHT).where(jobs.c.status == Status.QUEUED, or_(false(), *others))
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(jobs.c.id).limit(FOREIGN_AT_ONCE)).mappings().all()
        return [as_job(row) for row in rows]

    def deployments(self) -> frozenset[str]:
        """Return the names of the deployments of which there are jobs."""
        with self.database.reading() as connection:
            return frozenset(connection.execute(select(jobs.c.deployment).distinct()).scalars())

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

    def check_room(self, room: Room, wanted: Wanted, size: int) -> None:
        """See that a job of this size would find room now, or is there; see :func:`modelserve.jobs.room.check_room`."""
        with self.database.reading() as connection:
            if not wanted.key or connection.execute(select(jobs.c.id).where(_has_key(wanted))).first() is None:
                check_room(connection, room, wanted.client, size)

    def held_bytes(self) -> int:
        """Return how many bytes the jobs take that have not ended."""
        with self.database.reading() as connection:
            return held_bytes(connection)

    def give_back(self) -> None:
        """Give back to the disk what the database does not need any more."""
        self.database.give_back()

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

    def _there(self, connection: Connection, new: NewJob, key: str, is_again: bool) -> Job | None:
        if is_again and connection.execute(select(jobs.c.id).where(jobs.c.uuid == new.uuid)).first():
            return one(connection, jobs.c.uuid == new.uuid)
        return self._of_key(connection, new, key)

    def _of_key(self, connection: Connection, new: NewJob, key: str) -> Job | None:
        if not key:
            return None
        same = _has_key(Wanted(new.deployment, new.operation, new.client, key))
        row = connection.execute(select(jobs.c.id, jobs.c.fingerprint).where(same)).first()
        if row is None:
            return None
        if row.fingerprint != new.fingerprint:
            raise Conflict("This Idempotency-Key came with another request before.")
        return one(connection, jobs.c.id == row.id)

    def _insert(self, connection: Connection, new: NewJob, key: str) -> Job:
        connection.execute(insert(jobs).values(**as_row(new, key), created=Now()))
        id = connection.execute(select(jobs.c.id).where(jobs.c.uuid == new.uuid)).scalar_one()
        connection.execute(insert(requests).values(job=id, request=new.request))
        return one(connection, jobs.c.id == id)


def _has_key(wanted: Wanted) -> ColumnElement[bool]:
    return and_(_is(wanted.deployment, wanted.operation), jobs.c.key == as_key(wanted.key, wanted.client))


def _runs_as(job: Job) -> ColumnElement[bool]:
    same = (jobs.c.uuid == job.uuid, jobs.c.owner == job.owner, jobs.c.attempts == job.attempts)
    return and_(jobs.c.status == Status.RUNNING, *same)


def _owed() -> Select[int]:
    """Return the query for the callback of a job that is not over."""
    return select(callbacks.c.job).where(callbacks.c.job == jobs.c.id, callbacks.c.due.is_not(None))


def _beyond(most: int) -> Select[int]:
    """Return the query for the ended jobs of each kind that so many others have ended after."""
    latest = (func.coalesce(jobs.c.ended, 0).desc(), jobs.c.finished.desc(), jobs.c.id.desc())
    place = func.row_number().over(partition_by=(jobs.c.deployment, jobs.c.operation), order_by=latest)
    ranked = select(jobs.c.id, place.label("place")).where(jobs.c.status.in_(_ENDED)).subquery()
    return select(ranked.c.id).where(ranked.c.place > most)


def _is_for(model: str) -> ColumnElement[bool]:
    """Return what tells whether a job may be run by this model; one of which nothing is known may run any."""
    return or_(jobs.c.model.in_(("", model)), literal(not model))


def _is(deployment: str, operation: Operation | str) -> ColumnElement[bool]:
    return and_(jobs.c.deployment == deployment, jobs.c.operation == operation)


def _waiting(connection: Connection, new: NewJob, most: int) -> int:
    """Return how many jobs wait as this one would; counts no further than ``most``."""
    same = (jobs.c.status == Status.QUEUED, jobs.c.deployment == new.deployment, jobs.c.operation == new.operation)
    counted = select(jobs.c.id).where(*same).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(counted)).scalar_one())
