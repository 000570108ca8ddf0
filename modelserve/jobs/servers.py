"""The servers that share a database: each says that it lives, and ends the jobs of those that have gone.

    beat    ->  one more beat of this server       and which jobs it runs by what is stored
    others  ->  the other servers, the last beat of each, and what it serves
    reap    ->  running to lost, or queued again   once its server has gone

Whether a beat has changed is for each server to watch, by its own steady clock: the database's may be set back or
forward, and a difference of two of its times says nothing. Every method may raise what the store's methods do.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Exists, and_, delete, exists, insert, or_, select, update

from modelserve.jobs.database import Database
from modelserve.jobs.deliveries import owe
from modelserve.jobs.job import Job, Status
from modelserve.jobs.reading import ANEW, ended, of_jobs, one
from modelserve.jobs.tables import Now, jobs, owners, points, requests

__all__ = ["Mark", "Other", "Servers"]

# What a server that has gone leaves behind is said in one sentence.
GONE = "The server that ran it has gone."

# A server of which nothing has been heard for so long, and that owns no job, is forgotten.
FORGOTTEN_S = 30 * 24 * 3600.0


# Of servers that own no job, only those of the last day are of interest: one that lives has been heard in it.
LATELY_S = 24 * 3600.0


class Mark(NamedTuple):
    """The last beat of a server: how many there were, and the database's time of it. Only a change says something."""

    beats: int
    at: float


class Other(NamedTuple):
    """Another server: its last beat, None where there was none, what it serves as JSON, and whether it runs jobs."""

    mark: Mark | None
    serves: str
    has_jobs: bool


class Servers:
    """The servers of one database.

    Args:
        database: An open one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def apart(self) -> Servers:
        """Return the same with a connection of its own, which waits for nothing else; whoever asks closes it."""
        return Servers(self._database.apart())

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def beat(self, owner: str, serves: str = "") -> dict[str, int]:
        """Note that this server lives, and return the jobs that it runs by what is stored: their attempts, by uuid.

        Args:
            owner: The server's id.
            serves: JSON: the models that it serves, by deployment.
        """
        running = select(jobs.c.uuid, jobs.c.attempts)
        running = running.where(jobs.c.status == Status.RUNNING, jobs.c.owner == owner)
        said = {"beat": Now(), "serves": serves}
        with self._database.writing() as connection:
            again = update(owners).where(owners.c.id == owner).values(said | {"beats": owners.c.beats + 1})
            if not connection.execute(again).rowcount:
                connection.execute(insert(owners).values(id=owner, beats=1, **said))
            return {row.uuid: row.attempts for row in connection.execute(running)}

    def others(self, owner: str) -> dict[str, Other]:
        """Return the other servers that were heard of lately, and those that run jobs by the record, by their id."""
        running = select(jobs.c.owner).distinct().where(jobs.c.status == Status.RUNNING, jobs.c.owner != owner)
        lately = select(owners.c.id, owners.c.beats, owners.c.beat, owners.c.serves)
        is_recent = and_(owners.c.id != owner, owners.c.beat > Now() - LATELY_S)
        with self._database.reading() as connection:
            runs = set(connection.execute(running.order_by(jobs.c.owner)).scalars())
            rows = connection.execute(lately.where(or_(is_recent, owners.c.id.in_(runs)))).all()
        found = {row.id: Other(Mark(row.beats, row.beat), row.serves, row.id in runs) for row in rows}
        return {id: Other(None, "", has_jobs=True) for id in sorted(runs)} | found

    def reap(self, gone: str, *, unless_beyond: Mark | None = None, is_sure: bool = False) -> list[Job]:
        """End or queue again what a server was running that has gone, and return these jobs as they then are.

        Args:
            gone: That server.
            unless_beyond: The last beat that was seen of it, None for none: nothing is done where there is another.
            is_sure: That it has gone is known by more than its beats, which are not asked then.
        """
        running = [jobs.c.status == Status.RUNNING, jobs.c.owner == gone]
        if not is_sure:
            running.append(~_has_beaten_since(gone, unless_beyond))
        # In the order of reports: those of a server that comes back at this moment lock the same rows.
        query = select(jobs.c.id, jobs.c.attempts <= jobs.c.retries).where(*running).order_by(jobs.c.uuid)
        with self._database.writing() as connection:
            found = {row[0]: bool(row[1]) for row in connection.execute(query.with_for_update())}
            again, lost = [id for id in found if found[id]], [id for id in found if not found[id]]
            queued = update(jobs).where(jobs.c.id.in_(again))
            connection.execute(queued.values(**ANEW, status=Status.QUEUED, message=""))
            over = update(jobs).where(jobs.c.id.in_(lost))
            connection.execute(over.values(**ended(), status=Status.LOST, message=GONE))
            connection.execute(of_jobs(points, again))
            connection.execute(of_jobs(requests, lost))
            owe(connection, lost)
            return [one(connection, jobs.c.id == id) for id in found]

    def forget(self) -> None:
        """Forget servers that own no running job and were heard of long ago; one that lives is known again soon."""
        runs = exists().where(jobs.c.status == Status.RUNNING, jobs.c.owner == owners.c.id)
        with self._database.writing() as connection:
            connection.execute(delete(owners).where(owners.c.beat < Now() - FORGOTTEN_S, ~runs))


def _has_beaten_since(id: str, mark: Mark | None) -> Exists:
    heard = select(owners.c.id).where(owners.c.id == id)
    if mark is not None:
        heard = heard.where(or_(owners.c.beats != mark.beats, owners.c.beat != mark.at))
    return heard.exists()
