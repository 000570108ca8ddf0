"""Builds the OpenAPI 3.1 document of a server, written out per model. Descriptions in, a dict out, no I/O.

name -> Description  ->  paths of the server, one predict path per model, components prefixed with the model's name
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from modelserve.messages import Description
from modelserve.web.jobs_text import JOB_ERRORS, jobs_tag, operation_ids
from modelserve.web.openapi_jobs import job_components, job_paths, may_be_a_job
from modelserve.web.openapi_predict import predict_operation
from modelserve.web.routes_text import (
    ABOUT,
    JSON,
    PREDICT_ERRORS,
    REQUEST_ID_TEXT,
    RETRY_AFTER_TEXT,
    ROUTES,
    SCHEMAS,
    SERVICE_TAG,
    STATUS_TEXTS,
    Route,
    about_model,
)
from modelserve.web.schema_refs import as_markdown, home_page, rewrite, unique_names

__all__ = ["build_openapi"]

_SCHEMAS = "#/components/schemas/"
_REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
_RETRY_AFTER = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}


def build_openapi(
    models: Mapping[str, Description],
    *,
    title: str,
    version: str,
    base_path: str,
    jobs: Mapping[str, Collection[str]] = MappingProxyType({}),
    calls_back: bool = False,
) -> dict[str, Any]:
    """Return the OpenAPI 3.1.0 document of a server.

    Args:
        models: What each served model says of itself, by the name it is served under.
        title: The service's title.
        version: The service's version.
        base_path: The prefix of every path, without a slash at its end, or "".
        jobs: Of what jobs are kept, "train" and "predict", by the name of the model.
        calls_back: Whether a job may be posted somewhere when it ends.
    """
    wanted = {(name, item): f"{name}.{item}" for name, model in models.items() for item in model.components}
    names = unique_names(wanted)
    refs = {
        name: {f"{_SCHEMAS}{item}": f"{_SCHEMAS}{names[name, item]}" for item in model.components}
        for name, model in models.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": ABOUT},
        "servers": [{"url": base_path or "/"}],
        "tags": [tag for name, model in models.items() for tag in _tags(name, model, jobs)] + [{"name": SERVICE_TAG}],
        "paths": _paths(models, refs, jobs, calls_back=calls_back),
        "components": {
            "schemas": _shared_schemas()
            | job_components(jobs)
            | {
                names[name, item]: rewrite(schema, refs[name], text=as_markdown)
                for name, model in models.items()
                for item, schema in model.components.items()
            },
            "responses": {f"Error{status}": _response(status, name) for status, name in _errors(jobs).items()},
            "headers": {
                "X-Request-ID": {"description": REQUEST_ID_TEXT, "schema": {"type": "string"}},
                "Retry-After": {"description": RETRY_AFTER_TEXT, "schema": {"type": "integer"}},
            },
        },
    }


def _tags(name: str, model: Description, jobs: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
    tag: dict[str, Any] = {"name": name, "description": as_markdown(about_model(model.metadata))}
    if url := home_page(model.metadata.url):
        tag["externalDocs"] = {"url": url, "description": "Home page"}
    return [tag, *([{"name": jobs_tag(name)}] if jobs.get(name) else [])]


def _paths(
    models: Mapping[str, Description],
    refs: Mapping[str, Mapping[str, str]],
    jobs: Mapping[str, Collection[str]],
    *,
    calls_back: bool,
) -> dict[str, Any]:
    ids = operation_ids(models, jobs)
    paths: dict[str, Any] = {}
    for name, model in models.items():
        if "predict" in model.implements:
            operation = {
                "tags": [name],
                "operationId": ids[name, "predict", ""],
                **predict_operation(model, refs[name]),
            }
            is_job = "predict" in jobs.get(name, ())
            path = f"/v2/models/{quote(name, safe='')}/predict/"
            paths[path] = {"post": may_be_a_job(operation, calls_back=calls_back) if is_job else operation}
        own = job_paths(name, model, jobs.get(name, ()), refs=refs[name], ids=ids, calls_back=calls_back)
        for path, item in own.items():
            paths.setdefault(path, {}).update(item)
    example = next(iter(models), "")
    return paths | {route.path: {"get": _operation(route, example)} for route in ROUTES}


def _errors(jobs: Mapping[str, Collection[str]]) -> dict[int, str]:
    more = dict.fromkeys(JOB_ERRORS, "Error") if any(jobs.values()) else {}
    return {**PREDICT_ERRORS, **more}


def _operation(route: Route, example: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [SERVICE_TAG],
        "operationId": route.operation_id,
        "summary": route.summary,
        "description": route.description,
        "responses": {str(status): _response(status, name) for status, name in route.answers.items()},
    }
    if "{name}" in route.path:
        schema = {"type": "string"} | ({"examples": [example]} if example else {})
        name = {"name": "name", "in": "path", "required": True, "description": "The model's name.", "schema": schema}
        operation["parameters"] = [name]
    for each, (text, kind) in route.query.items():
        parameter = {"name": each, "in": "query", "description": text, "schema": dict(kind)}
        operation.setdefault("parameters", []).append(parameter)
    return operation


def _response(status: int, schema: str) -> dict[str, Any]:
    content = (
        {JSON: {"schema": {"$ref": f"{_SCHEMAS}{schema}"}}}
        if schema
        else {"text/plain": {"schema": {"type": "string"}}}
    )
    # Readiness is a state and not a refusal, so it says nothing of a retry.
    headers = _REQUEST_ID | (_RETRY_AFTER if status == 503 and schema == "Error" else {})
    text = STATUS_TEXTS[status] if status in STATUS_TEXTS else JOB_ERRORS[status]
    return {"description": text, "headers": headers, "content": content}


def _shared_schemas() -> dict[str, Any]:
    schemas = dict(SCHEMAS)
    messages = {"type": "array", "items": {"type": "string"}}
    schemas["InvalidArguments"] = SCHEMAS["InvalidArguments"] | {
        "additionalProperties": {"anyOf": [messages, {"$ref": f"{_SCHEMAS}InvalidArguments"}]}
    }
    return schemas
