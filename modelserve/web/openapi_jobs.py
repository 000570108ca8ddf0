"""Describes the routes of one model's jobs for OpenAPI 3.1, and what is posted where a job ends. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from modelserve.messages import Description
from modelserve.web.jobs_text import (
    ACCEPTED_TEXT,
    ANY,
    CALLBACK_PARAMETER,
    CALLBACK_TEXT,
    EVENTS,
    JOB_ROUTES,
    JOB_SCHEMAS,
    JSON,
    KEY_PARAMETER,
    LOCATION_TEXT,
    NOUNS,
    PREFER_PARAMETER,
    TRAIN_TEXT,
    UUID_PARAMETER,
    WEBHOOK_HEADERS,
    JobRoute,
    Parameter,
    jobs_tag,
)
from modelserve.web.openapi_predict import PLACES_TEXT, TIMEOUT_PARAMETER, answer_of, request_of
from modelserve.web.routes_text import PREDICT_ERRORS, STATUS_TEXTS

__all__ = ["job_components", "job_paths", "may_be_a_job"]

_SCHEMAS = "#/components/schemas/"
_REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}

# What a POST that makes a job answers when it does not.
_POST_ERRORS = (*PREDICT_ERRORS, 409)


def job_components(jobs: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Return the schemas of jobs, where any are kept."""
    return dict(JOB_SCHEMAS) if any(jobs.values()) else {}


def may_be_a_job(operation: Mapping[str, Any], *, calls_back: bool) -> dict[str, Any]:
    """Return a predict operation as it is where background predictions are kept."""
    more = [_parameter(each) for each in (PREFER_PARAMETER, KEY_PARAMETER, *_callback_parameter(calls_back))]
    headers = {
        **_REQUEST_ID,
        "Location": {"description": LOCATION_TEXT, "schema": {"type": "string"}},
        "Preference-Applied": {"schema": {"type": "string"}},
    }
    accepted = {"description": ACCEPTED_TEXT, "headers": headers, "content": _json("Job")}
    answer, errors = operation["responses"]["200"], {**operation["responses"], **_errors((409,))}
    return {
        **operation,
        "parameters": [*operation["parameters"], *more],
        "responses": {**errors, "200": answer, "202": accepted},
        **_callbacks(calls_back),
    }


def job_paths(
    name: str,
    model: Description,
    operations: Collection[str],
    *,
    refs: Mapping[str, str],
    ids: Mapping[tuple[str, str, str], str],
    calls_back: bool,
) -> dict[str, Any]:
    """Return the paths of a model's jobs.

    Args:
        name: What the model is served under.
        model: What it says of itself.
        operations: Of what jobs are kept: "train", "predict".
        refs: The references of the model's own schemas to what they are called in the document.
        ids: The operations' ids, by model, operation and verb.
        calls_back: Whether a job may be posted somewhere when it ends.
    """
    paths: dict[str, Any] = {}
    for operation in sorted(operations, reverse=True):
        base = f"/v2/models/{quote(name, safe='')}/{operation}/"
        if operation == "train":
            about = _train(model, refs, calls_back=calls_back)
            paths[base] = {"post": {"tags": [name], "operationId": ids[name, operation, ""], **about}}
        for route in JOB_ROUTES:
            own = {"tags": [jobs_tag(name)], "operationId": ids[name, operation, route.verb]}
            described = {**own, **_operation(route, operation)}
            if route.verb == "result":
                described["responses"]["200"] = _result(operation, model, refs)
            paths.setdefault(base + route.path, {})[route.method] = described
    return paths


def _train(model: Description, refs: Mapping[str, str], *, calls_back: bool) -> dict[str, Any]:
    request = request_of(model.train, refs)
    more = [_parameter(each) for each in (KEY_PARAMETER, *_callback_parameter(calls_back))]
    return {
        "summary": f"Train {model.metadata.name}",
        "description": f"{TRAIN_TEXT}\n\n{PLACES_TEXT}",
        **request,
        "parameters": [*request["parameters"], TIMEOUT_PARAMETER, *more],
        "responses": {"200": _ok(_json("Job")), **_errors(_POST_ERRORS)},
        **_callbacks(calls_back),
    }


def _operation(route: JobRoute, operation: str) -> dict[str, Any]:
    one, many = NOUNS[operation]
    parameters = [UUID_PARAMETER, *route.parameters] if "{uuid}" in route.path else route.parameters
    schema = {"$ref": f"{_SCHEMAS}{route.schema}"} if route.schema else {"type": "string"}
    content = {route.content: {"schema": schema | ({"format": "binary"} if route.content == ANY else {})}}
    if route.content == EVENTS or route.has_events:
        content[EVENTS] = {}  # OpenAPI 3.1 has no words for what one event is
    return {
        "summary": route.summary.format(one=one, many=many),
        "description": route.text.format(one=one, many=many),
        "parameters": [_parameter(each) for each in parameters],
        "responses": {"200": _ok(content), **_errors(route.errors)},
    }


def _result(operation: str, model: Description, refs: Mapping[str, str]) -> dict[str, Any]:
    return answer_of(model, refs) if operation == "predict" else _ok({JSON: {"schema": {}}})


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.text,
        "schema": dict(parameter.schema),
    }


def _callback_parameter(calls_back: bool) -> tuple[Parameter, ...]:
    return (CALLBACK_PARAMETER,) if calls_back else ()


def _callbacks(calls_back: bool) -> dict[str, Any]:
    if not calls_back:
        return {}
    post = {
        "summary": "A job has ended",
        "description": CALLBACK_TEXT,
        "parameters": [_parameter(each) for each in WEBHOOK_HEADERS],
        "requestBody": {"required": True, "content": _json("Job")},
        "responses": {
            "2XX": {"description": "It is received."},
            "410": {"description": "It is not wanted any more; anything else is tried again, eight times in all."},
        },
    }
    return {"callbacks": {"jobEnded": {"{$request.query.callback_url}": {"post": post}}}}


def _ok(content: dict[str, Any]) -> dict[str, Any]:
    return {"description": STATUS_TEXTS[200], "headers": _REQUEST_ID, "content": content}


def _json(schema: str) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": f"{_SCHEMAS}{schema}"}}}


def _errors(statuses: Collection[int]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}
