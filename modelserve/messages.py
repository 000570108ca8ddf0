"""What crosses the border between the server and a worker; how it is framed stands in frames.py.

    server --[Calls | Cancel | More | Check | Scrape]--> worker
    server <--[Stage | Ready | Failed | Answers | Part | Checked | Scraped]-- worker

One message carries many calls or answers, so that their system calls are shared under load. The bodies in a received
message are ``bytes``, or a ``bytearray`` where they are large.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

__all__ = [
    "AS_GIVEN",
    "MOST_SERIES",
    "Answer",
    "Answers",
    "Argument",
    "Call",
    "Calls",
    "Cancel",
    "Check",
    "Checked",
    "Description",
    "Failed",
    "Failure",
    "Family",
    "FileAnswer",
    "FilePart",
    "FileRule",
    "Metadata",
    "More",
    "Part",
    "Ready",
    "Sample",
    "Scrape",
    "Scraped",
    "Stage",
    "TrainingDone",
    "TrainingEvent",
    "TrainingFailed",
    "TrainingProgress",
    "TrainingStarted",
    "decode_server_bound",
    "decode_training_event",
    "decode_worker_bound",
    "encode_training_event",
    "sendable",
    "whole",
]


class FilePart(msgspec.Struct, array_like=True, frozen=True):
    """One uploaded file, already on disk.

    ``path`` lies in the request's private folder, which the server deletes once the answer is sent. ``filename`` is
    the base name of what the client said, with control characters removed, or "" where it said none.
    """

    name: str
    path: str
    content_type: str
    filename: str
    size: int


class Call(msgspec.Struct, array_like=True):
    """One request for one answer, as the client sent it: nothing is parsed yet but a multipart body.

    ``id`` is given by the deployment and unique within the server; ``request_id`` is the client's or made, and only
    for people. ``deadline`` is the time of the system's monotonic clock, in seconds, after which nobody waits for the
    answer, 0 for none. ``query`` is the raw query string, ``content_type`` and ``accept`` are raw header values (""
    when absent). ``headers`` holds only what the model's Description asked for, by lower-case name. ``form`` and
    ``files`` are the parts of a multipart body, in order; any other body is in ``body``. ``operation`` is "" to
    predict, "train" or "check" to have the arguments of ``train`` or of ``predict`` validated: the answer is those
    arguments as JSON. ``client`` is the name of who calls, "" where nobody had to say. ``traceparent`` is the W3C trace
    context that the call is a part of, "" for none. ``client_id`` tells clients apart that have had one name.
    """

    id: int = 0
    request_id: str = ""
    query: str = ""
    content_type: str = ""
    accept: str = ""
    body: bytes = b""
    headers: dict[str, str] = {}
    deadline: float = 0.0
    form: list[tuple[str, str]] = []
    files: list[FilePart] = []
    operation: str = ""
    client: str = ""
    traceparent: str = ""
    client_id: str = ""


class Calls(msgspec.Struct, array_like=True, tag="calls"):
    """Calls for a worker to run, together where the model can."""

    calls: list[Call]


class Check(msgspec.Struct, array_like=True, tag="check"):
    """A call whose ``operation`` is to have its arguments validated, even while the worker runs others."""

    call: Call


class Scrape(msgspec.Struct, array_like=True, tag="scrape"):
    """The server wants to know what the model counts itself, even while the worker runs calls."""


class Cancel(msgspec.Struct, array_like=True, tag="cancel"):
    """Nobody waits for the answers to these calls any more: those not begun are dropped, streams are closed."""

    ids: list[int]


class More(msgspec.Struct, array_like=True, tag="more"):
    """The client of a streamed answer has read on: the worker may send ``parts`` more parts of it."""

    id: int
    parts: int


class FileAnswer(msgspec.Struct, array_like=True, frozen=True):
    """An answer's body that is a file on disk; the server sends it and, where ``delete``, removes it afterwards."""

    path: str
    size: int
    delete: bool = False


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why a call has no answer. ``fields`` is set for invalid arguments only; ``log`` is for the operator alone."""

    status: int
    code: str
    message: str
    fields: dict[str, Any] | None = None
    log: str = ""

    @property
    def cause(self) -> str:
        """The last line of the log, where a traceback names the exception; "" for none."""
        return self.log.rstrip().rpartition("\n")[2]

    @property
    def traceback(self) -> str:
        """The log where it says more than the cause, else ""."""
        return self.log if "\n" in self.log.strip() else ""


class Answer(msgspec.Struct, array_like=True):
    """The answer to the call of the same ``id``: ``body`` or ``file`` with its ``content_type``, or a ``failure``.

    ``filename`` is what a client may save it under, "" where the model said none. With ``stream``, the body follows in
    :class:`Part` messages of the same id.
    """

    id: int
    content_type: str = ""
    body: bytes = b""
    file: FileAnswer | None = None
    filename: str = ""
    failure: Failure | None = None
    stream: bool = False


class Part(msgspec.Struct, array_like=True, tag="part"):
    """The next bytes of a streamed answer, ready for the wire; ``last`` ends it, with a ``failure`` uncleanly."""

    id: int
    data: bytes = b""
    last: bool = False
    failure: Failure | None = None


class Answers(msgspec.Struct, array_like=True, tag="answers"):
    """Answers in any order, and for how many nanoseconds the worker was busy with them."""

    answers: list[Answer]
    busy_ns: int = 0


class TrainingStarted(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """The model's ``train`` is called now; this and the three below are a training's parts, as JSON in their data."""


class TrainingProgress(msgspec.Struct, frozen=True, tag_field="event", tag="progress", omit_defaults=True):
    """What the author has reported; a metric that is NaN or infinite is None."""

    progress: float | None = None
    metrics: dict[str, int | float | None] = {}
    step: int | None = None


class TrainingDone(msgspec.Struct, frozen=True, tag_field="event", tag="done"):
    """``train`` has returned ``output``, JSON; ``heeded`` says that it has seen before that it was cancelled.

    The output follows the event after a line feed: whatever is in it, the event can be read.
    """

    heeded: bool
    output: bytes = b""


class TrainingFailed(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """``train`` has raised, or returned what cannot be kept; the part's ``failure`` says which."""

    heeded: bool


TrainingEvent = TrainingStarted | TrainingProgress | TrainingDone | TrainingFailed


class Checked(msgspec.Struct, array_like=True, tag="checked"):
    """The answer to the call of a :class:`Check`; it overtakes those that run."""

    answer: Answer


# So many series of its own metrics a worker says, and a deployment has; further ones are left out.
MOST_SERIES = 1_000


class Sample(msgspec.Struct, array_like=True):
    """One number of a :class:`Family`."""

    name: str
    labels: dict[str, str]
    value: float


def whole(kind: str, labels: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the labels of the histogram or summary that a series is a part of; of any other kind, all of its own."""
    own = {"histogram": "le", "summary": "quantile"}.get(kind)
    return tuple(sorted(pair for pair in labels if pair[0] != own))


class Family(msgspec.Struct, array_like=True):
    """One of the metrics that a model has made with prometheus_client.

    ``name`` is without the ending ``_total`` of a counter; ``kind`` is prometheus_client's ``type``; ``mode`` is the
    ``multiprocess_mode`` of a gauge.
    """

    name: str
    kind: str
    documentation: str
    mode: str
    samples: Annotated[list[Sample], msgspec.Meta(max_length=MOST_SERIES)]


class Scraped(msgspec.Struct, array_like=True, tag="scraped"):
    """The answer to :class:`Scrape`: empty where the model has not loaded prometheus_client.

    ``dropped`` counts the series that are left out, since there are too many.
    """

    families: Annotated[list[Family], msgspec.Meta(max_length=MOST_SERIES)] = []
    dropped: int = 0


class FolderGone(msgspec.Struct, array_like=True, tag="folder_gone"):
    """The worker's temporary folder was gone and is made again; a new worker should take its place."""


class FileRule(msgspec.Struct, frozen=True):
    """What a file argument accepts: one or ``many``, media types (empty: any; ``image/*`` allowed), bytes (0: any)."""

    many: bool = False
    media_types: list[str] = []
    max_bytes: int = 0


class Argument(msgspec.Struct, frozen=True):
    """One declared argument.

    ``name`` is the name on the wire (marshmallow's ``data_key`` where set). ``location`` is "" where the argument may
    come from query, form or JSON, else the only one of "query", "form", "json", "headers" that is read. ``schema`` is
    its OpenAPI 3.1 schema, ``parameter`` its whole Swagger 2.0 parameter object; one of a JSON body is a member of the
    only body that an operation has.
    """

    name: str
    location: str
    required: bool
    schema: dict[str, Any]
    parameter: dict[str, Any]
    file: FileRule | None = None


# What packages for DEEPaaS give in any form, and find again in that form: lists of authors, numbers of versions.
AS_GIVEN = ("license", "author", "version")


class Metadata(msgspec.Struct, frozen=True):
    """What a model says about itself.

    ``links`` are ``{"rel", "href"}`` objects, ``others`` JSON values under keys that are none of the contract's,
    or under one of ``AS_GIVEN`` what a package for DEEPaaS has said there.
    """

    id: str
    name: str
    description: str
    license: str = ""
    author: str = ""
    version: str = ""
    url: str = ""
    links: list[dict[str, str]] = []
    others: dict[str, Any] = {}


class Description(msgspec.Struct, frozen=True):
    """All that the server knows of a model.

    ``implements`` names the contract's methods that the model provides. ``media_types`` are what predict can answer
    with, the default first. ``response`` is the OpenAPI 3.1 schema of a JSON answer, None for the default envelope.
    ``components`` are the schemas that other schemas refer to as ``#/components/schemas/NAME`` (OpenAPI 3.1), and
    ``definitions`` the same as ``#/definitions/NAME`` (Swagger 2.0), ``response_definition`` the answer's there.
    ``headers`` names, in lower case, the request headers that arguments are read from. ``max_concurrency`` is how many
    calls one worker runs at the same time, 1 for a model whose ``predict`` is not ``async``. ``streams`` says that
    ``predict`` is a generator.
    """

    metadata: Metadata
    implements: list[str] = []
    predict: list[Argument] = []
    train: list[Argument] = []
    media_types: list[str] = msgspec.field(default_factory=lambda: ["application/json"])
    response: dict[str, Any] | None = None
    response_definition: dict[str, Any] | None = None
    components: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    max_batch_size: int = 1
    headers: list[str] = []
    max_concurrency: int = 1
    streams: bool = False


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """The worker has loaded and warmed its model and takes calls."""

    description: Description


class Stage(msgspec.Struct, array_like=True, tag="stage"):
    """The worker's start has come to this stage: "load", "describe" or "warm"."""

    stage: str


class Failed(msgspec.Struct, array_like=True, tag="failed"):
    """The worker could not start its model. ``stage`` is "load", "describe" or "warm"; it exits after this."""

    stage: str
    message: str
    traceback: str


# What of a text from a model is kept for the log: the beginning and the end of a long traceback say the most.
TEXT_LIMIT = 16_384

_worker_bound = msgspec.msgpack.Decoder(Calls | Cancel | More | Check | Scrape)
_server_bound = msgspec.msgpack.Decoder(Ready | Failed | Answers | Part | Stage | Checked | Scraped | FolderGone)
_training_event = msgspec.json.Decoder(TrainingEvent)

decode_worker_bound = _worker_bound.decode
decode_server_bound = _server_bound.decode


def encode_training_event(event: TrainingEvent) -> bytes:
    """Return the data of the part that tells this."""
    if not isinstance(event, TrainingDone):
        return msgspec.json.encode(event)
    return b"%b\n%b" % (msgspec.json.encode(msgspec.structs.replace(event, output=b"")), event.output)


def decode_training_event(data: bytes) -> TrainingEvent:
    """Return what a part of a training tells.

    Raises:
        msgspec.MsgspecError: It is none of these events.
    """
    end = data.find(b"\n")  # JSON of msgspec is one line
    event = _training_event.decode(data if end < 0 else data[:end])
    if end < 0 or not isinstance(event, TrainingDone):
        return event
    return msgspec.structs.replace(event, output=bytes(data[end + 1 :]))


def sendable(text: str) -> str:
    """Return a text as a message can hold it: valid Unicode, and cut in its middle where it is over ``TEXT_LIMIT``."""
    if len(text) > TEXT_LIMIT:
        half = TEXT_LIMIT // 2
        text = f"{text[:half]}\n[{len(text) - TEXT_LIMIT} characters left out]\n{text[-half:]}"
    return text.encode(errors="backslashreplace").decode()
