"""Notes what a running job tells of itself: its latest progress and metrics, and a bounded history for plots.

Reports -> _fitting: the metrics that a record has room for -> the job's row, and a point each -> _thin
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from modelserve.exact import from_json, to_json
from modelserve.jobs.job import Report, Status
from modelserve.jobs.tables import Now, jobs, points

__all__ = ["HISTORY_BYTES", "METRICS_BYTES", "POINTS_LIMIT", "add_points"]

# How many points a job keeps; past it every second one is dropped, so that a plot keeps its shape.
POINTS_LIMIT = 10_000

# How many bytes the metrics of a job may have, and those of one point: both are read whenever the job is.
METRICS_BYTES = 16 * 1024

# How many bytes the points of a job may have together, give or take one of ordinary size for each.
HISTORY_BYTES = 16 * 1024 * 1024
_ORDINARY_BYTES = HISTORY_BYTES // POINTS_LIMIT

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
    if values["points"] > POINTS_LIMIT or any(len(point["metrics"]) > _ORDINARY_BYTES for point in added):
        values["points"] = _thin(connection, row["id"])
    connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))


def _fold(row: RowMapping, reports: Sequence[Report]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the new values of the job's row and the rows of its new points."""
    progress, metrics, step = row["progress"], from_json(row["metrics"]), row["step"]
    added = []
    for report in reports:
        progress = progress if report.progress is None else report.progress
        told = _fitting(report.metrics)
        metrics = _fitting(metrics | told)
        if told:
            step = max(-_STEP_LIMIT, min(step + 1 if report.step is None else report.step, _STEP_LIMIT))
            added.append({"job": row["id"], "step": step, "metrics": to_json(told).decode()})
    count = row["points"] + len(added)
    return {"progress": progress, "metrics": to_json(metrics).decode(), "step": step, "points": count}, added


def _fitting(metrics: Mapping[str, int | float | None]) -> dict[str, int | float | None]:
    """Return the metrics that a record has room for: the first ones, and what fits behind them."""
    if len(to_json(metrics)) <= METRICS_BYTES:
        return dict(metrics)
    found, size = {}, len("{}")
    for name, value in metrics.items():
        own = len(to_json({name: value})) - len("{}") + len(",")
        if size + own <= METRICS_BYTES:
            found[name] = value
            size += own
    return found


def _thin(connection: Connection, job: int) -> int:
    """Drop every second point of a job, while they are too many, keep the newest, and return how many are left."""
    counted = func.row_number().over(order_by=points.c.id.desc())
    size = func.coalesce(func.sum(func.length(points.c.metrics)), 0)
    both = select(func.count(), size).where(points.c.job == job)
    while True:
        left, taken = connection.execute(both).one()
        if left <= 1 or (left <= POINTS_LIMIT and taken <= HISTORY_BYTES):
            return int(left)
        ranked = select(points.c.id, counted.label("rank")).where(points.c.job == job).subquery()
        connection.execute(delete(points).where(points.c.id.in_(select(ranked.c.id).where(ranked.c.rank % 2 == 0))))
