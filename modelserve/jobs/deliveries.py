"""Which ended jobs are still to be posted to their callback_url: owed from the transaction in which the job ended.

    a job ends -> due now -> take: tried by one server -> end: delivered, or given up
                   ^                    |
                   +---- postpone ------+    or nothing, where the server died: due again when its lease is over

So each is tried at least once, and once more where a server dies between a try and what it notes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, Update, and_, func, insert, literal, or_, select, update

from modelserve.jobs.database import Database
from modelserve.jobs.job import Delivery
from modelserve.jobs.rows import as_job
from modelserve.jobs.tables import Now, callbacks, jobs, outputs

__all__ = ["Deliveries", "owe"]


def owe(connection: Connection, ids: Iterable[int]) -> None:
    """Note in the transaction in which jobs end that those with a callback are to be posted."""
    ended = select(jobs.c.id, literal(0), Now(), literal("")).where(jobs.c.id.in_(ids), jobs.c.callback_url != "")
    connection.execute(insert(callbacks).from_select(["job", "tries", "due", "outcome"], ended))


class Deliveries:
    """The callbacks of one database; every method may raise what the store's methods do.

    Args:
        database: An open one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, lease_s: float, *, without: Collection[str] = ()) -> Delivery | None:
        """Give a server the callback that has been due for longest; None where none is.

        Args:
            lease_s: Where nothing more is noted of the try, it is due again after so long.
            without: Receivers that are not to be posted to now: scheme, host and port, in small letters.
        """
        due = select(callbacks.c.job, callbacks.c.tries).where(callbacks.c.due <= Now()).order_by(callbacks.c.due)
        if without:
            theirs = select(jobs.c.id).where(jobs.c.id == callbacks.c.job, or_(*map(_is_to, without)))
            due = due.where(~theirs.exists())
        with self._database.reading() as connection:  # most often nothing is, and nothing need be locked to know it
            if connection.execute(due.limit(1)).first() is None:
                return None
        with self._database.writing() as connection:
            row = connection.execute(due.limit(1).with_for_update(skip_locked=True)).first()
            if row is None or not connection.execute(_begun(row.job, row.tries, lease_s)).rowcount:
                return None
        # The try is counted before anything is made of the job: whatever is wrong with it, the tries come to an end.
        with self._database.reading() as connection:
            both = select(*jobs.c, outputs.c.output).select_from(jobs.outerjoin(outputs))
            found = connection.execute(both.where(jobs.c.id == row.job)).mappings().first()
        return None if found is None else Delivery(as_job(found), row.tries + 1)

    def postpone(self, delivery: Delivery, pause_s: float) -> None:
        """Have a callback tried again after a pause, unless another try has begun meanwhile."""
        with self._database.writing() as connection:
            connection.execute(_try(delivery).values(due=Now() + pause_s))

    def end(self, delivery: Delivery, outcome: str) -> None:
        """Note that a callback is over, unless another try has begun meanwhile.

        Args:
            delivery: The try.
            outcome: What has become of it, in a word of 16 letters at most.
        """
        with self._database.writing() as connection:
            connection.execute(_try(delivery).values(due=None, outcome=outcome))


def _is_to(receiver: str) -> ColumnElement[bool]:
    begins = func.lower(func.substr(jobs.c.callback_url, 1, len(receiver))) == receiver
    return and_(begins, func.substr(jobs.c.callback_url, len(receiver) + 1, 1).in_(("", "/", "?", "#")))


def _begun(job: int, tries: int, lease_s: float) -> Update:
    mine = update(callbacks).where(callbacks.c.job == job, callbacks.c.tries == tries)
    return mine.values(tries=tries + 1, due=Now() + lease_s)


def _try(delivery: Delivery) -> Update:
    job = select(jobs.c.id).where(jobs.c.uuid == delivery.job.uuid).scalar_subquery()
    return update(callbacks).where(callbacks.c.job == job, callbacks.c.tries == delivery.number)
