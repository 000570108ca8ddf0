"""Builds the Swagger 2.0 document of a server, as DEEPaaS's clients parse it. Descriptions in, a dict out, no I/O.

They build their forms from the parameters of predict and read ``definitions.ModelPredictionResponse``. What the older
format cannot say (JSON bodies beside parameters, alternatives) stands in the OpenAPI document alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from modelserve.messages import Description
from modelserve.web.jobs_text import JOB_ERRORS, jobs_tag, operation_ids
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
    STREAM_TEXT,
    Route,
    about_model,
)
from modelserve.web.schema_refs import home_page, rewrite, unique_names
from modelserve.web.swagger_jobs import job_definitions, job_paths, job_responses, request_of

__all__ = ["build_swagger"]

_DEFINITIONS = "#/definitions/"

# The name under which DEEPaaS publishes the schema of a model's answer.
_RESPONSE = "ModelPredictionResponse"

_REQUEST_ID = {"X-Request-ID": {"type": "string", "description": REQUEST_ID_TEXT}}
_RETRY_AFTER = {"Retry-After": {"type": "integer", "description": RETRY_AFTER_TEXT}}


def build_swagger(
    models: Mapping[str, Description],
    *,
    title: str,
    version: str,
    base_path: str,
    jobs: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the Swagger 2.0 document of a server.

    Args:
        models: What each served model says of itself, by the name it is served under.
        title: The service's title.
        version: The service's version.
        base_path: The prefix of every path, without a slash at its end, or "".
        jobs: Of what jobs are kept, "train" and "predict", by the name of the model.
    """
    names = _names(models)
    refs = {
        name: {f"{_DEFINITIONS}{item}": f"{_DEFINITIONS}{names[name, item]}" for item in model.definitions}
        for name, model in models.items()
    }
    return {
        "swagger": "2.0",
        "info": {"title": title, "version": version, "description": ABOUT},
        "basePath": base_path or "/",
        "tags": [tag for name, model in models.items() for tag in _tags(name, model, jobs)] + [{"name": SERVICE_TAG}],
        "paths": _paths(models, names, refs, jobs),
        "definitions": _shared_definitions() | job_definitions(jobs) | _definitions(models, names, refs),
        "responses": {f"Error{status}": _response(status, schema) for status, schema in _errors(jobs).items()},
    }


def _names(models: Mapping[str, Description]) -> dict[tuple[str, str], str]:
    """Return the definition's name of every (model, definition), and of every (model, "") answer.

    The first model that has a schema gets DEEPaaS's name for its answer, since there the server has one model.
    """
    wanted: dict[tuple[str, str], str] = {}
    for name, model in models.items():
        if model.response_definition is not None:
            wanted[name, ""] = f"{name}.{_RESPONSE}" if wanted else _RESPONSE
    wanted |= {(name, item): f"{name}.{item}" for name, model in models.items() for item in model.definitions}
    return unique_names(wanted)


def _tags(name: str, model: Description, jobs: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
    tag: dict[str, Any] = {"name": name, "description": about_model(model.metadata)}
    if url := home_page(model.metadata.url):
        tag["externalDocs"] = {"url": url, "description": "Home page"}
    return [tag, *([{"name": jobs_tag(name)}] if jobs.get(name) else [])]


def _paths(
    models: Mapping[str, Description],
    names: Mapping[tuple[str, str], str],
    refs: Mapping[str, Mapping[str, str]],
    jobs: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    ids = operation_ids(models, jobs)
    paths: dict[str, Any] = {}
    for name, model in models.items():
        if "predict" in model.implements:
            operation = _predict(model, names.get((name, ""), "Prediction"), refs[name])
            post = {"tags": [name], "operationId": ids[name, "predict", ""], **operation}
            if "predict" in jobs.get(name, ()):
                post["responses"] = {**post["responses"], **job_responses()}
            paths[f"/v2/models/{quote(name, safe='')}/predict/"] = {"post": post}
        for path, item in job_paths(name, model, jobs.get(name, ()), refs=refs[name], ids=ids).items():
            paths.setdefault(path, {}).update(item)
    return paths | {route.path: {"get": _operation(route)} for route in ROUTES}


def _errors(jobs: Mapping[str, Collection[str]]) -> dict[int, str]:
    more = dict.fromkeys(JOB_ERRORS, "Error") if any(jobs.values()) else {}
    return {**PREDICT_ERRORS, **more}


def _predict(model: Description, response: str, refs: Mapping[str, str]) -> dict[str, Any]:
    is_json = any(media_type == JSON or media_type.endswith("+json") for media_type in model.media_types)
    schema = (
        {"$ref": f"{_DEFINITIONS}{response}"}
        if is_json and not model.streams
        else {"type": "string", "format": "binary"}
    )
    text = STREAM_TEXT if model.streams else STATUS_TEXTS[200]
    answer = {"description": text, "headers": _REQUEST_ID, "schema": schema}
    return {
        "summary": f"Predict with {model.metadata.name}",
        "produces": list(model.media_types),
        **request_of(model.predict, refs),
        "responses": {"200": answer}
        | {str(status): {"$ref": f"#/responses/Error{status}"} for status in PREDICT_ERRORS},
    }


def _operation(route: Route) -> dict[str, Any]:
    answers = route.answers.values()
    operation: dict[str, Any] = {
        "tags": [SERVICE_TAG],
        "operationId": route.operation_id,
        "summary": route.summary,
        "description": route.description,
        "produces": [*([] if all(answers) else ["text/plain"]), *([JSON] if any(answers) else [])],
        "responses": {str(status): _response(status, schema) for status, schema in route.answers.items()},
    }
    if "{name}" in route.path:
        name = {"name": "name", "in": "path", "required": True, "type": "string", "description": "The model's name."}
        operation["parameters"] = [name]
    for each, (text, schema) in route.query.items():
        operation.setdefault("parameters", []).append({"name": each, "in": "query", "description": text, **schema})
    return operation


def _response(status: int, schema: str) -> dict[str, Any]:
    headers = _REQUEST_ID | (_RETRY_AFTER if status == 503 and schema == "Error" else {})
    body = {"$ref": f"{_DEFINITIONS}{schema}"} if schema else {"type": "string"}
    text = STATUS_TEXTS[status] if status in STATUS_TEXTS else JOB_ERRORS[status]
    return {"description": text, "headers": headers, "schema": body}


def _shared_definitions() -> dict[str, Any]:
    refs = {f"#/components/schemas/{name}": f"{_DEFINITIONS}{name}" for name in SCHEMAS}
    return {name: rewrite(schema, refs) for name, schema in SCHEMAS.items()}


def _definitions(
    models: Mapping[str, Description],
    names: Mapping[tuple[str, str], str],
    refs: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, model in models.items():
        for item, schema in model.definitions.items():
            written[names[name, item]] = rewrite(schema, refs[name])
        if model.response_definition is not None:
            written[names[name, ""]] = rewrite(_inline(model.response_definition, model.definitions), refs[name])
    return written


def _inline(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bare reference refers to: clients look for ``properties`` right under the answer's name."""
    target: dict[str, Any] = definitions.get(str(schema.get("$ref", "")).removeprefix(_DEFINITIONS), schema)
    return target
