"""Between the rows of the store and what the rest of the program knows: jobs, points and the cursors of lists."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelserve.errors import BadRequest, NotFound
from modelserve.exact import from_json, to_json
from modelserve.jobs.job import Job, NewJob, Operation, Point, Status
from modelserve.messages import sendable
from modelserve.text import shown

if TYPE_CHECKING:  # whoever reads rows has loaded it; others, who only want to know what an id is, need not
    from sqlalchemy import RowMapping

__all__ = [
    "as_cursor",
    "as_job",
    "as_key",
    "as_point",
    "as_row",
    "as_text",
    "as_uuid",
    "before",
    "is_uuid",
    "readable",
]

# The numbers of rows are positive and of 64 bits with a sign; a cursor is one of them, of 18 digits at most.
_LAST = (1 << 63) - 1
_CURSOR = re.compile("[1-9][0-9]{0,17}", re.ASCII)

_UUID = re.compile("[0-9a-f]{32}")

# What cannot be read is shown by so many characters.
SHOWN = 1000
NOTE = "This is the beginning of the output, as text: it cannot be read as JSON."


def as_row(new: NewJob, key: str) -> dict[str, Any]:
    """Return the columns of a new job that come from it; its ``request`` is kept in a table of its own."""
    return {
        "uuid": new.uuid,
        "deployment": new.deployment,
        "operation": new.operation.value,
        "status": Status.QUEUED.value,
        "message": "",
        "metrics": "{}",
        "step": 0,
        "points": 0,
        "output_bytes": 0,
        "request_id": new.request_id,
        "place": new.place,
        "retries": new.retries,
        "attempts": 0,
        "owner": "",
        "callback_url": new.callback_url,
        "fingerprint": new.fingerprint,
        "key": as_key(key, new.client),
        "args": to_json(new.args).decode(),
        "client": new.client,
        "model": new.model,
        "request_bytes": new.request_bytes or len(new.request),
    }


def as_job(row: RowMapping, output: bytes | None = None) -> Job:
    """Return the job of a row; request and output are there where they were read. No output can be in the way.

    Args:
        row: The row.
        output: The output where it was not read with the row.
    """
    return Job(
        uuid=row["uuid"],
        deployment=row["deployment"],
        operation=Operation(row["operation"]),
        status=Status(row["status"]),
        created=_time(row["created"]),
        args=_object(row["args"]),
        started=_time_or_none(row["started"]),
        finished=_time_or_none(row["finished"]),
        message=row["message"],
        progress=row["progress"],
        metrics=_object(row["metrics"]),
        **_output(row, row.get("output") if output is None else output),
        output_bytes=row["output_bytes"],
        request=row.get("request") or b"",
        request_id=row["request_id"],
        place=row["place"],
        attempts=row["attempts"],
        owner=row["owner"],
        callback_url=row["callback_url"],
        client=row["client"],
        model=row["model"],
    )


def readable(text: bytes) -> dict[str, Any]:
    """Return ``{"output"}``, the value of a JSON text, or, where there is none, its beginning and a ``"note"``."""
    try:
        return {"output": from_json(text)}
    except ValueError:
        return {"output": shown(text[:SHOWN]), "note": NOTE}


def _object(text: str) -> dict[str, Any]:
    """Return the object that a text of JSON holds; one that cannot be read is in nobody's way."""
    try:
        return dict(from_json(text))
    except (ValueError, TypeError):
        return {"unreadable": shown(text[:SHOWN])}


def _output(row: RowMapping, stored: bytes | None) -> dict[str, Any]:
    """Return the fields of a job that come from its output."""
    if stored is None:
        return {}
    found = readable(stored)
    if row["operation"] == Operation.TRAIN or not isinstance(found["output"], dict):
        return found
    inner = found["output"]
    return {"output": inner, "note": inner.get("note", "")}


def as_point(row: RowMapping) -> Point:
    """Return the point of a row."""
    return Point(step=row["step"], at=_time(row["at"]), metrics=_object(row["metrics"]))


def as_key(key: str, client: str = "") -> str | None:
    """Return what is kept of a client's Idempotency-Key, whatever its length and characters; None for none.

    It differs between clients, whose ids hold no line feed: none is given, or told of, the job of another.
    """
    whose = f"{client}\n{key}" if client else key
    return hashlib.sha256(whose.encode(errors="backslashreplace")).hexdigest() if key else None


def as_text(text: str) -> str:
    """Return a text as every database can hold it: valid Unicode, without the null character, and not endless."""
    return sendable(text).replace("\0", "\\x00")


def as_uuid(text: str) -> str:
    """Return an id that a client gave, if it has the form of a job's.

    Raises:
        NotFound: It has not.
    """
    if not is_uuid(text):
        raise NotFound("There is no job of this id.")
    return text


def is_uuid(text: str) -> bool:
    """Tell whether a text has the form of a job's id."""
    return _UUID.fullmatch(text) is not None


def as_cursor(id: int) -> str:
    """Return what stands for a place in a list; only :func:`before` reads it."""
    return str(id)


def before(cursor: str) -> int:
    """Return the number that the rows of a cursor's page are below; "" is the first page.

    Raises:
        BadRequest: It is no cursor that a list has given.
    """
    if not cursor:
        return _LAST
    if not _CURSOR.fullmatch(cursor):
        raise BadRequest("The cursor is none that a list of jobs has given.")
    return int(cursor)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
