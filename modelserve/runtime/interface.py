"""The small interface between a deployment and whatever runs its workers.

    Deployment --send(calls)--> Replica        Deployment <--answered, lost-- Replica

A *replica* is the server's handle on one worker. A *backend* makes replicas: processes on this machine, or others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from modelserve.discovery import ModelRef
from modelserve.messages import Answer, Answers, Call, Description, Failed, Part, Scraped
from modelserve.runtime.devices import Placement

if TYPE_CHECKING:  # a worker imports this module, and has no use for the event loop
    import asyncio

__all__ = [
    "DEVICE_EXIT",
    "FIRST_PARTS",
    "PART_BYTES",
    "Answering",
    "Backend",
    "Exit",
    "Listener",
    "Misbehaved",
    "Renewable",
    "Replica",
    "StartFailed",
    "WorkerOptions",
    "WorkerSpec",
    "weight_of",
]

# The exit status of a worker whose GPU answers every further call with an error.
DEVICE_EXIT = 71

# So many parts of a streamed answer a worker may send before it is told that the client has read on.
FIRST_PARTS = 16

# A part counts once more for each of these that it has, so that what is unread is bounded in bytes as well.
PART_BYTES = 1024 * 1024


def weight_of(data: bytes) -> int:
    """Return for how many parts one counts."""
    return 1 + len(data) // PART_BYTES


class WorkerOptions(msgspec.Struct, frozen=True):
    """The settings that reach into a worker; their meaning is in the settings table.

    ``task`` is "predict", or "train": such a worker does not warm its model, runs one call of ``train`` at a lower
    priority of the processor, and answers it with a stream, whose parts are :data:`modelserve.messages.TrainingEvent`.
    """

    unknown_arguments: str = "auto"
    nan_answers: str = "error"
    log_level: str = "info"
    log_format: str = "text"
    max_batch_size: int = 0
    max_concurrency: int = 0
    max_answer_bytes: int = 0
    gpu_memory_fraction: float = 0.0
    task: str = "predict"


class WorkerSpec(msgspec.Struct, frozen=True):
    """One worker to start: ``name`` is unique within the server and used in logs, as in ``digits-0``.

    ``python`` is the interpreter to run it with, "" for the server's own; ``environment`` is set before anything is
    imported. ``load_timeout_s`` bounds loading and describing, ``warm_timeout_s`` warming; 0 is no bound. ``log_path``
    is the file to which standard output and standard error of the worker and of its children are appended, "" for the
    server's own standard error. ``artifacts`` is the folder of the files that a training keeps, made when needed.
    """

    name: str
    ref: ModelRef
    placement: Placement
    options: WorkerOptions
    python: str = ""
    environment: dict[str, str] = {}
    load_timeout_s: float = 0.0
    warm_timeout_s: float = 0.0
    log_path: str = ""
    artifacts: str = ""


class Exit(msgspec.Struct, frozen=True):
    """How a worker ended.

    ``reason`` is "exit", "signal", "stopped" (asked to, by us), "timeout" (ended because a call overran, or a look at
    one), "cancelled" (ended because its client had left), "recycled", "device" (it left a broken GPU) or "broken"
    (ended because it said what no worker says); ``detail`` says more in words.
    """

    reason: str
    detail: str


class Misbehaved(Exception):
    """A worker has said what no worker of ours says: it is not to be believed any more, and is replaced."""


class StartFailed(Exception):
    """A worker did not get as far as serving; ``failed`` says in which stage and why."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


class Answering(Protocol):
    """What a door has its calls answered by: a deployment, or what stands around one."""

    @property
    def name(self) -> str:
        """The deployment's name."""

    @property
    def description(self) -> Description | None:
        """What the model says of itself, None before its first worker has said it."""

    def check_room(self, size: int) -> None:
        """Check that a call of so many bytes would be taken now, before its body is read.

        Raises:
            Unavailable: It would not.
        """

    def call(self, call: Call) -> asyncio.Future[Answer]:
        """Take a call and return the future of its answer, which is to be cancelled where nobody waits any more.

        Raises:
            QueueTimeout: The call's deadline has passed already.
            Unavailable: It is not taken now.
        """


class Renewable(Answering, Protocol):
    """What also says when its workers were all replaced by others, whose answers may be different."""

    @property
    def reloads(self) -> int:
        """How often the workers of a reload have taken over; calls that come later go to them alone."""


class Listener(Protocol):
    """What a replica tells its owner, on the event loop's thread, and what it asks.

    What the owner raises when it is told ends the worker, which is then ``lost`` for the reason "broken".
    """

    def due(self, replica: Replica) -> int:
        """Return how many more calls the worker may answer now."""

    def answered(self, replica: Replica, answers: Answers) -> None:
        """Some calls have answers. Each call sent is answered at most once, frames in the order they were sent."""

    def part(self, replica: Replica, part: Part) -> None:
        """The next part of a streamed answer, whose Answer came before."""

    def folder_gone(self, replica: Replica) -> None:
        """The worker's temporary folder was gone and is made again; a new worker should take its place."""

    def lost(self, replica: Replica, end: Exit) -> None:
        """The worker has ended. Comes exactly once after a successful start, and nothing comes after it."""


class Replica(Protocol):
    """One worker. After ``start`` has returned it is warm and takes calls until ``lost``."""

    @property
    def name(self) -> str:
        """The worker's name."""

    @property
    def pid(self) -> int:
        """The worker's process id, 0 where it has none on this machine."""

    @property
    def begun(self) -> int:
        """How many calls, in the order they were sent, the worker has begun to run; stands still once it is dead."""

    async def start(self, listener: Listener) -> Description:
        """Start the worker and wait until its model is loaded and warm. Cancelling ends the worker.

        Raises:
            StartFailed: It could not load, describe or warm its model, or ended before it had.
        """

    def send(self, calls: list[Call]) -> None:
        """Send calls as one frame; never blocks. Calls sent after the worker has died are lost without a word."""

    def check(self, call: Call) -> asyncio.Future[Answer]:
        """Have the worker validate a call beside those that it runs; never blocks. See ``Call.operation``.

        The future raises WorkerDied where the worker ends before it has.
        """

    def scrape(self) -> asyncio.Future[Scraped]:
        """Have the worker say what its model counts itself, beside the calls that it runs; never blocks.

        The future is cancelled where the worker ends before it has.
        """

    def cancel(self, ids: list[int]) -> None:
        """Tell the worker that nobody waits for these calls any more; never blocks."""

    def more(self, call_id: int, parts: int) -> None:
        """Allow the worker to send so many more parts of a streamed answer; never blocks."""

    def end(self, reason: str, detail: str) -> None:
        """Terminate the worker, and kill it a second later; ``lost`` comes with this reason. Never blocks."""

    async def stop(self, wait_s: float) -> None:
        """End the worker: ask, wait up to ``wait_s`` seconds, terminate, wait a second, kill. Idempotent.

        One that does not end even then is ``lost`` all the same, some seconds later.
        """


class Backend(Protocol):
    """Makes replicas. It is entered before the first and left after the last."""

    def replica(self, spec: WorkerSpec) -> Replica:
        """Return a new replica that is not started yet."""

    async def __aenter__(self) -> Backend: ...

    async def __aexit__(self, *error: object) -> None: ...
