"""How many bytes the jobs that have not ended may take: what is needed to run them, for all together and for a client.

It is asked twice: before a body is read, by what its head says of it, and when the job is stored, in one transaction.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from modelserve.errors import QueueFull, TooLarge, TooManyRequests
from modelserve.jobs.job import Room, Status
from modelserve.jobs.tables import jobs

__all__ = ["check_room", "held_bytes"]

# When a client may ask again that has as much waiting as it may.
RETRY_AFTER_S = 30.0


def held_bytes(connection: Connection, client: str = "") -> int:
    """Return how many bytes the jobs take that have not ended: of one client, or all."""
    taken = select(func.coalesce(func.sum(jobs.c.request_bytes), 0))
    wanted: list[ColumnElement[bool]] = [jobs.c.status.in_((Status.QUEUED, Status.RUNNING))]
    wanted += [jobs.c.client == client] if client else []
    return int(connection.execute(taken.where(*wanted)).scalar_one())


def check_room(connection: Connection, room: Room, client: str, size: int) -> None:
    """See that a job of this size, of this client or "", finds room.

    Raises:
        QueueFull: There is none for anybody.
        TooLarge: There will never be.
        TooManyRequests: There is none for this client.
    """
    most = min(filter(None, (room.all_bytes, room.client_bytes if client else 0)), default=size)
    if size > most:
        raise TooLarge(f"The request is {size} bytes, and the jobs that have not ended may take {most} together.")
    if room.client_bytes and client and held_bytes(connection, client) + size > room.client_bytes:
        raise TooManyRequests(
            f"Your jobs that have not ended may take {room.client_bytes} bytes together.", RETRY_AFTER_S
        )
    if room.all_bytes and held_bytes(connection) + size > room.all_bytes:
        raise QueueFull(f"The jobs that have not ended may take {room.all_bytes} bytes together; try again later.")
