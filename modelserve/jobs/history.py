"""Notes what a running job tells of itself: its latest progress and metrics, and a bounded history for plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from modelserve.exact import from_json, to_json
from modelserve.jobs.job import Report, Status
from modelserve.jobs.tables import Now, jobs, points

__all__ = ["POINTS_LIMIT", "add_points"]

# How many points a job keeps; past it every second one is dropped, so that a plot keeps its shape.
POINTS_LIMIT = 10_000

_STEP_LIMIT = (1 << 63) - 1


def add_points(connection: Connection, owner: str, uuid: str, reports: Sequence[Report]) -> None:
    """Note what one job has told, in the order it was told, if it still runs on this server."""
    mine = (jobs.c.uuid == uuid, jobs.c.status == Status.RUNNING, jobs.c.owner == owner)
    query = select(jobs.c.id, jobs.c.progress, jobs.c.metrics, jobs.c.step, jobs.c.points).where(*mine)
    row = connection.execute(query.with_for_update()).mappings().first()
    if row is None:
        return
    values, added = _fold(row, reports)
    if added:
        connection.execute(insert(points).values(at=Now()), added)
    if values["points"] > POINTS_LIMIT:
        values["points"] = _thin(connection, row["id"])
    connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))


def _fold(row: RowMapping, reports: Sequence[Report]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the new values of the job's row and the rows of its new points."""
    progress, metrics, step = row["progress"], from_json(row["metrics"]), row["step"]
    added = []
    for report in reports:
        progress = progress if report.progress is None else report.progress
        metrics |= report.metrics
        if report.metrics:
            step = max(-_STEP_LIMIT, min(step + 1 if report.step is None else report.step, _STEP_LIMIT))
            added.append({"job": row["id"], "step": step, "metrics": to_json(report.metrics).decode()})
    count = row["points"] + len(added)
    return {"progress": progress, "metrics": to_json(metrics).decode(), "step": step, "points": count}, added


def _thin(connection: Connection, job: int) -> int:
    """Drop every second point of a job, as often as it has too many, keep the newest, and return how many are left."""
    counted = func.row_number().over(order_by=points.c.id.desc())
    count = select(func.count()).where(points.c.job == job)
    while (left := connection.execute(count).scalar_one()) > POINTS_LIMIT:
        ranked = select(points.c.id, counted.label("rank")).where(points.c.job == job).subquery()
        connection.execute(delete(points).where(points.c.id.in_(select(ranked.c.id).where(ranked.c.rank % 2 == 0))))
    return left
