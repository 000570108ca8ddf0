"""What both published descriptions say of jobs in the same words: routes, schemas and errors.

The schemas are written as those of routes_text.py are, so that they hold in OpenAPI 3.1 and in Swagger 2.0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelserve.web.schema_refs import unique_names

__all__ = [
    "ACCEPTED_TEXT",
    "ANY",
    "CALLBACK_PARAMETER",
    "CALLBACK_TEXT",
    "EVENTS",
    "JOB_ERRORS",
    "JOB_ROUTES",
    "JOB_SCHEMAS",
    "JSON",
    "KEY_PARAMETER",
    "LOCATION_TEXT",
    "NOUNS",
    "PREFER_PARAMETER",
    "TRAIN_TEXT",
    "UUID_PARAMETER",
    "WEBHOOK_HEADERS",
    "JobRoute",
    "Parameter",
    "jobs_tag",
    "operation_ids",
]

JSON = "application/json"
EVENTS = "text/event-stream"
ANY = "application/octet-stream"

# What one job of each operation is called, and what more than one are.
NOUNS: Mapping[str, tuple[str, str]] = {
    "train": ("training", "trainings"),
    "predict": ("background prediction", "background predictions"),
}

TRAIN_TEXT = (
    "The arguments are validated and the training is stored before the answer comes; it runs in a process of its own. "
    "The answer is the training as it stands now: ask for it again by its `uuid`, or follow its events."
)

ACCEPTED_TEXT = "With `Prefer: respond-async`: the prediction runs in the background, and this is its job."

LOCATION_TEXT = "Where the job is."

CALLBACK_TEXT = (
    "What is posted to the job's `callback_url` when it ends: the job, as its route answers with it. It is signed as "
    "Standard Webhooks (https://www.standardwebhooks.com) describes, and may come more than once."
)

JOB_ERRORS: Mapping[int, str] = {
    409: "The job has ended already, or the Idempotency-Key came with another request before.",
    501: "The model does not provide what the route needs.",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter, the same in both formats but for where its ``schema`` stands."""

    name: str
    place: str
    text: str
    schema: Mapping[str, Any]
    required: bool = False


@dataclass(frozen=True)
class JobRoute:
    """One route of the jobs of one operation; ``{one}`` and ``{many}`` stand for what these are called.

    ``path`` is what follows the operation. ``content`` is the media type of the answer, and ``schema`` the name of its
    schema in ``JOB_SCHEMAS``, "" for text, or for bytes where the content is of any type. ``has_events``: it may come
    as server-sent events too.
    """

    path: str
    verb: str
    summary: str
    text: str = ""
    method: str = "get"
    content: str = JSON
    schema: str = ""
    has_events: bool = False
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = (404, 503)


UUID_PARAMETER = Parameter("uuid", "path", "The job's id.", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, True)

KEY_PARAMETER = Parameter(
    "Idempotency-Key",
    "header",
    "Makes a retry safe: the same key with the same request gives the job that is there already.",
    {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
)

CALLBACK_PARAMETER = Parameter(
    "callback_url",
    "query",
    "Where the job is posted when it ends; its host must be one that the server allows.",
    {"type": "string", "format": "uri"},
)

PREFER_PARAMETER = Parameter(
    "Prefer",
    "header",
    "`respond-async` makes the prediction a job that runs in the background; other words are let pass.",
    {"type": "string"},
)

WEBHOOK_HEADERS = (
    Parameter("webhook-id", "header", "The job's id, the same for each try.", {"type": "string"}, True),
    Parameter("webhook-timestamp", "header", "When it is sent, in seconds since 1970.", {"type": "string"}, True),
    Parameter("webhook-signature", "header", "`v1,` and the signature in base64.", {"type": "string"}, True),
)

JOB_ROUTES = (
    JobRoute(
        "",
        "list",
        "List the {many}",
        "Newest first and without results. The `Link` header leads to the next page.",
        schema="Jobs",
        parameters=(
            Parameter(
                "limit",
                "query",
                "How many at most.",
                {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            ),
            Parameter(
                "cursor",
                "query",
                "Where the page begins, as the Link header says.",
                {"type": "string", "pattern": "^([1-9][0-9]{0,17})?$"},
            ),
        ),
        errors=(400, 404, 503),
    ),
    JobRoute("{uuid}", "get", "Show one {one}", schema="Job"),
    JobRoute(
        "{uuid}",
        "cancel",
        "Cancel one {one}",
        "What runs is asked to end, and ended where it takes too long. The record stays.",
        method="delete",
        schema="Job",
        errors=(404, 409, 503),
    ),
    JobRoute(
        "{uuid}/log",
        "log",
        "Read the log of one {one}",
        "What its process has printed.",
        content="text/plain",
        has_events=True,
        parameters=(
            Parameter(
                "tail",
                "query",
                "Only so many of the last lines; without it, all as a download.",
                {"type": "integer", "minimum": 0, "maximum": 100_000},
            ),
            Parameter(
                "follow",
                "query",
                "With 1, the lines come as server-sent events until the job has ended.",
                {"type": "string", "enum": ["0", "1", "false", "true"]},
            ),
        ),
        errors=(400, 404, 503),
    ),
    JobRoute(
        "{uuid}/events",
        "events",
        "Follow one {one}",
        "Server-sent events `status`, `progress` and `metrics`, each as it changes, until the job has ended.",
        content=EVENTS,
    ),
    JobRoute("{uuid}/metrics", "metrics", "Read the metrics of one {one} by step", schema="JobMetrics"),
    JobRoute(
        "{uuid}/artifacts",
        "artifacts",
        "List the files that one {one} has kept",
        "By their names. The `Link` header leads to the next page. Links, and files with several names, are left out.",
        schema="Artifacts",
        parameters=(
            Parameter(
                "limit",
                "query",
                "How many at most.",
                {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
            ),
            Parameter("cursor", "query", "Where the page begins, as the Link header says.", {"type": "string"}),
        ),
        errors=(400, 404, 503),
    ),
    JobRoute(
        "{uuid}/artifacts/{path}",
        "artifact",
        "Download one file that one {one} has kept",
        content=ANY,
        parameters=(Parameter("path", "path", "The file's name in the list.", {"type": "string"}, True),),
    ),
    JobRoute(
        "{uuid}/result",
        "result",
        "Read what one {one} has returned",
        "In its own media type; 404 until it is done.",
    ),
)


def jobs_tag(name: str) -> str:
    """Return the tag under which the routes of a model's jobs stand; no model's name has a space.

    >>> jobs_tag("digits")
    'digits jobs'
    """
    return f"{name} jobs"


def operation_ids(models: Iterable[str], jobs: Mapping[str, Collection[str]]) -> dict[tuple[str, str, str], str]:
    """Return the id of every operation of the models, by (model, operation, verb); the verb of a POST is ""."""
    wanted = {(name, "predict", ""): f"predict_{name}" for name in models}
    for name, operations in jobs.items():
        for operation in sorted(operations, reverse=True):
            wanted[name, operation, ""] = f"{operation}_{name}"
            wanted |= {(name, operation, route.verb): f"{route.verb}_{operation}_{name}" for route in JOB_ROUTES}
    return unique_names(wanted, allowed="A-Za-z0-9_")


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _list(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
_DATE = "2026-05-01T12:30:00.123456Z"
_UUID = "0123456789abcdef0123456789abcdef"
_STATUSES = ["queued", "running", "done", "error", "cancelled", "lost"]

JOB_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "JobResult": {
        "type": "object",
        "properties": {
            "output": {"description": "What was returned, null where it is too large, or no JSON."},
            "content_type": _text("Of a background prediction: the media type of the answer."),
            "output_bytes": {"type": "integer", "description": "The size of what the result route answers."},
            "note": _text("Says that `output` is text, the beginning of what was returned: it is no JSON."),
            "finish_date": _text("When it ended.", format="date-time"),
            "duration": _text("How long it ran, in hours, minutes and seconds."),
        },
    },
    "Job": {
        "type": "object",
        "required": ["uuid", "date", "status", "args"],
        "properties": {
            "uuid": _text("Its id."),
            "date": _text("When it was accepted.", format="date-time"),
            "status": _text("Where it stands.", enum=_STATUSES),
            "args": {"type": "object", "description": "Its validated arguments, a file by its name."},
            "message": _text("Why it stands so, where that is to be said."),
            "progress": {"type": "number", "description": "How far it is, from 0 to 1."},
            "metrics": {**_NUMBERS, "description": "The latest metrics by their names."},
            "result": {"$ref": "#/components/schemas/JobResult"},
        },
        "example": {
            "uuid": _UUID,
            "date": _DATE,
            "status": "done",
            "args": {"epochs": 3},
            "progress": 1.0,
            "metrics": {"loss": 0.12},
            "result": {
                "output": {"accuracy": 0.97},
                "finish_date": "2026-05-01T12:30:12.246912Z",
                "duration": "0:00:12.123456",
            },
        },
    },
    "Jobs": _list("Job"),
    "JobPoint": {
        "type": "object",
        "required": ["step", "date", "metrics"],
        "properties": {
            "step": {"type": "integer", "description": "The author's own count."},
            "date": _text("When it was reported.", format="date-time"),
            "metrics": _NUMBERS,
        },
        "example": {"step": 3, "date": _DATE, "metrics": {"loss": 0.12}},
    },
    "JobMetrics": _list("JobPoint"),
    "Artifact": {
        "type": "object",
        "required": ["name", "size", "media_type"],
        "properties": {
            "name": _text("Its name, with the folders it lies in; a byte that is no UTF-8 as %XX."),
            "size": {"type": "integer", "description": "Its bytes."},
            "media_type": _text("Its media type, by its name."),
        },
        "example": {"name": "plots/loss.png", "size": 20480, "media_type": "image/png"},
    },
    "Artifacts": _list("Artifact"),
}
