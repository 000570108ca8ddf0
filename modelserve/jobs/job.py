"""What a job is, and which moves its status may make.

    queued -> running -> done | error | cancelled | lost          queued -> cancelled          running -> queued again

A job is one durable long task: a training, or a prediction that nobody waits for. Here is only data; the store keeps
it, the runner runs it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

__all__ = [
    "ANY_ROOM",
    "ENDED",
    "MOVES",
    "Delivery",
    "Job",
    "NewJob",
    "Operation",
    "Page",
    "Point",
    "Report",
    "Room",
    "Status",
]


class Operation(enum.StrEnum):
    """What of the contract a job runs."""

    # The model's ``train``, in a process of its own.
    TRAIN = "train"
    # The model's ``predict``, in a worker of its deployment.
    PREDICT = "predict"


class Status(enum.StrEnum):
    """Where a job stands."""

    # It waits for a slot.
    QUEUED = "queued"
    # It has a process, or a place in a worker's queue.
    RUNNING = "running"
    # It has returned its output.
    DONE = "done"
    # It has failed; the message says how.
    ERROR = "error"
    # A client has cancelled it.
    CANCELLED = "cancelled"
    # The server that ran it has gone, or was stopped.
    LOST = "lost"


ENDED = frozenset({Status.DONE, Status.ERROR, Status.CANCELLED, Status.LOST})

MOVES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED, Status.ERROR}),
        Status.RUNNING: ENDED | {Status.QUEUED},
        **{status: frozenset() for status in ENDED},
    }
)


class NewJob(msgspec.Struct, frozen=True):
    """A job to store.

    ``uuid`` is made by who submits it (``uuid4().hex``), since its files lie under that name already. ``args`` are the
    validated arguments as JSON, a file by its original name. ``request`` is the :class:`modelserve.messages.Call`,
    encoded by msgspec. ``place`` is the id of the data folder that holds its files, "" for a job without files, which
    any server may run. ``retries`` is how often it may be queued again after its server has gone. ``fingerprint`` tells
    whether a repeated Idempotency-Key comes with the same request. ``client`` is the id of the client whose job it
    is, "" where nobody had to say. ``model`` is the identity of the model that has validated it and alone may run it,
    "" for any of the deployment's name.
    """

    uuid: str
    deployment: str
    operation: Operation
    args: dict[str, Any] = {}
    request: bytes = b""
    request_id: str = ""
    place: str = ""
    retries: int = 0
    fingerprint: str = ""
    callback_url: str = ""
    client: str = ""
    model: str = ""
    request_bytes: int = 0


class Wanted(msgspec.Struct, frozen=True):
    """What is known of a job before its body is read: of which client it is, and its Idempotency-Key; "" for none."""

    deployment: str
    operation: Operation
    client: str = ""
    key: str = ""


class Room(msgspec.Struct, frozen=True):
    """Bytes that all jobs which have not ended may take, and those of one client; 0 is any number."""

    all_bytes: int = 0
    client_bytes: int = 0


ANY_ROOM = Room()


class Job(msgspec.Struct, frozen=True):
    """A job as it is stored.

    Times are UTC, None until they have come. ``progress`` is a fraction from 0 to 1, None where the author reports
    none; ``metrics`` are the latest values by name, None for one that is not finite. ``output`` is what it returned, as
    JSON values; it is None in lists, and where it lies in a file, which ``output_bytes`` then is the size of. Where it
    cannot be read, it is text, and ``note`` says so. ``owner`` is the server that runs it, or has ended it, "" for
    none; ``attempts`` counts how often it was begun. ``client`` is the id of the client whose job it is, "" for none;
    ``model`` the identity of the model that it is for, "" for any.
    """

    uuid: str
    deployment: str
    operation: Operation
    status: Status
    created: datetime
    args: dict[str, Any] = {}
    started: datetime | None = None
    finished: datetime | None = None
    message: str = ""
    progress: float | None = None
    metrics: dict[str, int | float | None] = {}
    output: Any = None
    note: str = ""
    output_bytes: int = 0
    request: bytes = b""
    request_id: str = ""
    place: str = ""
    attempts: int = 0
    owner: str = ""
    callback_url: str = ""
    client: str = ""
    model: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """A job that has ended and is to be posted to its ``callback_url`` now; ``number`` counts the tries from 1 on."""

    job: Job
    number: int


class Page(msgspec.Struct, frozen=True):
    """Some jobs, newest first, without request and output; ``cursor`` is where the next page begins, "" at the end."""

    jobs: list[Job]
    cursor: str = ""


class Report(msgspec.Struct, frozen=True):
    """What a running job has told of itself; what is None or empty stays as it was."""

    uuid: str
    progress: float | None = None
    metrics: dict[str, int | float | None] = {}
    step: int | None = None


class Point(msgspec.Struct, frozen=True):
    """The metrics of one step, for plots; ``at`` is when they were reported (UTC)."""

    step: int
    at: datetime
    metrics: dict[str, int | float | None]
