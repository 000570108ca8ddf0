"""What both published descriptions say in the same words: the routes of the server, its errors and its bodies.

The schemas are written so that they hold in OpenAPI 3.1 and in Swagger 2.0 alike (no ``anyOf``, no lists of types).
Their references read ``#/components/schemas/NAME``; Swagger's builder rewrites them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelserve.messages import Metadata

__all__ = [
    "ABOUT",
    "ITEM_TYPES",
    "JSON",
    "PREDICT_ERRORS",
    "REQUEST_ID_TEXT",
    "RETRY_AFTER_TEXT",
    "ROUTES",
    "SCHEMAS",
    "SERVICE_TAG",
    "STATUS_TEXTS",
    "STREAM_TEXT",
    "TIMEOUT_TEXT",
    "Route",
    "about_model",
]

JSON = "application/json"

# A space keeps it apart from every model's name.
SERVICE_TAG = "The service"

ABOUT = (
    "Every answer carries the `X-Request-ID` it was asked with, or one made for it, and the server's log names it. "
    "Errors are JSON objects with a message for people, a stable code for programs and that request id. "
    "Any route may answer 400 where its address or a header cannot be read, 431 where they are too large, 421 where "
    "the request's Host is no name of this server, and 403 where a browser sends it for a page of another site."
)

REQUEST_ID_TEXT = "The request's own X-Request-ID, or the one made for it."
RETRY_AFTER_TEXT = "After how many seconds the same call may succeed."
TIMEOUT_TEXT = "After how many seconds the client no longer waits for the answer."


@dataclass(frozen=True)
class Route:
    """One GET route that is the same whatever models are served.

    ``answers`` maps a status to the name of its schema in ``SCHEMAS``, or to "" for plain text. ``query`` has what may
    stand in the query string, by name: a text and a schema.
    """

    path: str
    operation_id: str
    summary: str
    description: str
    answers: Mapping[int, str]
    query: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)


ROUTES = (
    Route(
        "/",
        "get_versions",
        "List the versions of the API",
        "A browser, which accepts `text/html`, is redirected to the Swagger page.",
        {200: "Versions"},
    ),
    Route("/v2/", "get_v2", "Show version 2 of the API", "", {200: "Version"}),
    Route(
        "/v2/models/",
        "get_models",
        "List the models",
        "A model that could not start is listed with its status.",
        {200: "Models"},
    ),
    Route(
        "/v2/models/{name}/",
        "get_model",
        "Show one model",
        "Its metadata, its links and its status.",
        {200: "Model", 404: "Error"},
    ),
    Route(
        "/v2/models/{name}/log",
        "get_model_log",
        "Read what the workers of a model have printed and logged",
        "For administrators. With `follow=1` the answer is server-sent events, for as long as the client reads them.",
        {200: "", 400: "Error", 404: "Error"},
        {
            "tail": (
                "Only so many of the last lines, as far as they are in memory; all that the files hold without it.",
                {"type": "integer", "minimum": 0, "maximum": 100_000},
            )
        },
    ),
    Route("/healthz", "get_health", "Tell whether the server is alive", "", {200: "Alive"}),
    Route(
        "/readyz",
        "get_readiness",
        "Tell whether every model is ready",
        "A model that failed to start is listed, and does not hold back the others.",
        {200: "Readiness", 503: "Readiness"},
    ),
    Route("/metrics", "get_metrics", "Read the metrics", "In the text format of Prometheus.", {200: ""}),
)

STATUS_TEXTS: Mapping[int, str] = {
    200: "The answer.",
    400: "The request is malformed: broken JSON, a duplicate key, a body that is no form.",
    404: "There is nothing under that name.",
    406: "No media type that the client accepts is one the model can answer with.",
    408: "The body arrived too slowly.",
    413: "The body, a file or the number of parts is over its limit.",
    415: "The body's content type, charset or encoding is none that the route reads.",
    422: "The arguments do not fit the model's declaration: argument names to messages, nested where the argument is.",
    500: "The model failed: `model_error`, `bad_answer`, `out_of_memory`, `worker_died`. The server's log says why.",
    503: "Not now: `queue_full`, `not_ready`, `no_space` or `stopping`. The same call may succeed later.",
    504: "Too late: `queue_timeout`, the call was never run, or `predict_timeout`.",
}

STREAM_TEXT = (
    "The answer, streamed: an event or a line for each item, one JSON array, or chunks, as the Accept header asks. "
    "If the model fails on the way, the connection closes without the final chunk."
)

# A body of these types is a sequence of JSON values.
ITEM_TYPES = ("text/event-stream", "application/x-ndjson", "application/jsonl")

# What a model's predict route answers beside 200, and the schema of each.
PREDICT_ERRORS: Mapping[int, str] = {
    status: "InvalidArguments" if status == 422 else "Error" for status in STATUS_TEXTS if status != 200
}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    # Swagger 2.0 forbids an empty list.
    return schema | {"required": list(required)} if required else schema


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


def _as_given(description: str) -> dict[str, Any]:
    return {"description": f"{description} A text; of a package written for DEEPaaS what it says, such as a list."}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Error": _object(
        ("message", "code", "request_id"),
        message=_text("One sentence for people."),
        code=_text("A short stable word for programs, such as `queue_full`."),
        request_id=_text("Names the request in the server's log."),
    ),
    "InvalidArguments": {
        "type": "object",
        "description": "Argument names to lists of messages, or to objects of the same form for what is nested. "
        "Beside them stands what every error has, unless an argument has that name.",
        "properties": {
            "message": {"description": "One sentence for people."},
            "code": {"description": "`invalid`."},
            "request_id": {"description": "Names the request in the server's log."},
        },
        "additionalProperties": {},
        "example": {
            "x": ["Missing data for required field."],
            "message": "The arguments are not valid.",
            "code": "invalid",
            "request_id": "4b825dc6-17",
        },
    },
    "Prediction": _object(
        ("status", "predictions"),
        status=_text("`OK`."),
        predictions={"description": "What the model returned."},
    ),
    "Link": _object(
        ("rel", "href"), rel=_text("What it leads to."), type=_text("Its media type."), href=_text("Where.")
    ),
    "Version": _object(
        ("id", "version", "links"),
        id=_text("`v2`."),
        version=_text("`stable`."),
        links=_list("Link"),
        name=_text("The server's name."),
        extensions={"type": "array", "items": {"type": "string"}, "description": "What else it can do."},
    ),
    "Versions": _object(("versions", "links"), versions=_list("Version"), links=_list("Link")),
    "Model": _object(
        ("id", "name", "description", "links", "status"),
        id=_text("The model's identifier."),
        name=_text("Its name."),
        description=_text("What it does."),
        license=_as_given("Its licence."),
        author=_as_given("Who made it."),
        version=_as_given("Its version."),
        url=_text("Its home page."),
        links=_list("Link"),
        status=_text("How it does: `ready` when it answers."),
        message=_text("What is wrong, where something is."),
    ),
    "Models": _object(("models",), models=_list("Model")),
    "Alive": _object(("status",), status=_text("`alive`.")),
    "Readiness": _object(
        ("status",),
        status=_text("`ready` or `not_ready`."),
        deployments={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "The status of each model by its name, for who may know of them.",
        },
    ),
}


def about_model(metadata: Metadata) -> str:
    """Return what a page says of a model, its own description first."""
    facts = {"Version": metadata.version, "Author": metadata.author, "Licence": metadata.license}
    lines = [metadata.description, ", ".join(f"{label}: {fact}" for label, fact in facts.items() if fact)]
    return "\n\n".join(line for line in lines if line)
