"""What the store's classes share: a job as it is, without its request, and what is written of it at its end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, RowMapping, Table, delete, func, select

from modelserve.errors import NotFound
from modelserve.jobs.job import Job
from modelserve.jobs.rows import as_job
from modelserve.jobs.tables import Now, jobs, outputs

__all__ = ["ANEW", "LIGHT", "ended", "of_jobs", "one", "outputs_of", "within"]

# All of a job but request and output, which may be large.
LIGHT = [column for column in jobs.c if column.name not in {"fingerprint", "key"}]

# A job that is queued again begins anew.
ANEW: dict[str, Any] = {"owner": "", "started": None, "progress": None, "metrics": "{}", "step": 0, "points": 0}


def one(connection: Connection, wanted: ColumnElement[bool]) -> Job:
    """Return the one job that is wanted, with its output; its request may have many megabytes, and is read by itself.

    Raises:
        NotFound: There is none.
    """
    query = select(*LIGHT, outputs.c.output).select_from(jobs.outerjoin(outputs)).where(wanted)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound("There is no job of this id.")
    return as_job(row)


def within(rows: Iterable[RowMapping], room: int) -> list[int]:
    """Return the ids of the first of some jobs whose outputs, together, take no more bytes than there is room for."""
    ids = []
    for row in rows:
        if row["output_bytes"] <= room:
            room -= row["output_bytes"]
            ids.append(row["id"])
    return ids


def outputs_of(connection: Connection, ids: Collection[int]) -> dict[int, bytes]:
    """Return the outputs of some jobs, by their ids."""
    rows = connection.execute(select(outputs.c.job, outputs.c.output).where(outputs.c.job.in_(ids)))
    return {row.job: row.output for row in rows}


def ended() -> dict[str, Any]:
    """Return what is written of a job at its end, whatever that is: when it came, and as which of all ends."""
    every = jobs.alias()
    number = select(func.coalesce(func.max(every.c.ended), 0) + 1).scalar_subquery()
    return {"finished": Now(), "ended": number}


def of_jobs(table: Table, ids: Iterable[int]) -> Delete:
    """Return the statement that removes what a table holds of some jobs."""
    return delete(table).where(table.c.job.in_(ids))
