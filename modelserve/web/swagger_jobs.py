"""Describes the routes of one model's jobs for Swagger 2.0. No I/O.

DEEPaaS's clients build their forms from the parameters of an operation, so a POST has the model's own and no others;
what else it reads, and what is posted when a job ends, stands in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from modelserve.messages import Argument, Description
from modelserve.web.jobs_text import (
    ACCEPTED_TEXT,
    ANY,
    JOB_ROUTES,
    JOB_SCHEMAS,
    JSON,
    NOUNS,
    TRAIN_TEXT,
    UUID_PARAMETER,
    JobRoute,
    Parameter,
    jobs_tag,
)
from modelserve.web.routes_text import PREDICT_ERRORS, STATUS_TEXTS
from modelserve.web.schema_refs import rewrite

__all__ = ["job_definitions", "job_paths", "job_responses", "request_of"]

_DEFINITIONS = "#/definitions/"


def job_definitions(jobs: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Return the schemas of jobs, where any are kept."""
    refs = {f"#/components/schemas/{name}": f"{_DEFINITIONS}{name}" for name in JOB_SCHEMAS}
    return {name: rewrite(schema, refs) for name, schema in JOB_SCHEMAS.items()} if any(jobs.values()) else {}


def request_of(arguments: Sequence[Argument], refs: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of an operation that takes these arguments, and the bodies they may stand in.

    ``accept`` is the last: DEEPaaS's web client has no input for it, and counts its inputs by the parameters before it.
    Where arguments are read from a form, Swagger 2.0 has no word for those that are read from JSON.
    """
    has_files = any(argument.file for argument in arguments)
    parameters = [rewrite(each.parameter, refs) for each in sorted(arguments, key=_is_accept)]
    members = [each for each in parameters if each["in"] == "body"]
    parameters = [each for each in parameters if each["in"] != "body"]
    has_form = any(each["in"] == "formData" for each in parameters)
    return {
        "consumes": ["multipart/form-data"] if has_files else [JSON, "application/x-www-form-urlencoded"],
        "parameters": parameters if has_form or not members else [*parameters, _body(members)],
    }


def _is_accept(argument: Argument) -> bool:
    return argument.name == "accept"


def _body(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the one parameter that is a JSON body."""
    required = [member["name"] for member in members if member["required"]]
    schema = {"type": "object", "properties": {member["name"]: member["schema"] for member in members}}
    named = {"required": required} if required else {}
    return {"in": "body", "name": "body", "required": bool(required), "schema": schema | named}


def job_paths(
    name: str,
    model: Description,
    operations: Collection[str],
    *,
    refs: Mapping[str, str],
    ids: Mapping[tuple[str, str, str], str],
) -> dict[str, Any]:
    """Return the paths of a model's jobs; the arguments are those of the OpenAPI builder."""
    paths: dict[str, Any] = {}
    for operation in sorted(operations, reverse=True):
        base = f"/v2/models/{quote(name, safe='')}/{operation}/"
        if operation == "train":
            paths[base] = {"post": {"tags": [name], "operationId": ids[name, operation, ""], **_train(model, refs)}}
        for route in JOB_ROUTES:
            own = {"tags": [jobs_tag(name)], "operationId": ids[name, operation, route.verb]}
            described = {**own, **_operation(route, operation)}
            if route.verb == "result" and operation == "predict":
                described["produces"] = list(model.media_types)
            paths.setdefault(base + route.path, {})[route.method] = described
    return paths


def job_responses() -> dict[str, Any]:
    """Return what a predict route answers where the prediction becomes a job.

    How to ask for that is in the other document: forms are made of this one's parameters.
    """
    return {"202": {**_ok("Job"), "description": ACCEPTED_TEXT}, **_errors((409,))}


def _train(model: Description, refs: Mapping[str, str]) -> dict[str, Any]:
    return {
        "summary": f"Train {model.metadata.name}",
        "description": TRAIN_TEXT,
        "produces": [JSON],
        **request_of(model.train, refs),
        "responses": {"200": _ok("Job"), **_errors((*PREDICT_ERRORS, 409))},
    }


def _operation(route: JobRoute, operation: str) -> dict[str, Any]:
    one, many = NOUNS[operation]
    parameters = [UUID_PARAMETER, *route.parameters] if "{uuid}" in route.path else route.parameters
    return {
        "summary": route.summary.format(one=one, many=many),
        "description": route.text.format(one=one, many=many),
        "produces": [route.content],
        "parameters": [_parameter(each) for each in parameters],
        "responses": {"200": _ok(route.schema, is_file=route.content == ANY), **_errors(route.errors)},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.text,
        **parameter.schema,
    }


def _ok(schema: str, *, is_file: bool = False) -> dict[str, Any]:
    text = {"type": "string", "format": "binary"} if is_file else {"type": "string"}
    body = {"$ref": f"{_DEFINITIONS}{schema}"} if schema else text
    return {"description": STATUS_TEXTS[200], "schema": body}


def _errors(statuses: Collection[int]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/responses/Error{status}"} for status in statuses}
