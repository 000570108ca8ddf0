"""What a server publishes of a model's train route, as the arguments that flags are made of. No I/O.

openapi.json -> paths -> .../train/ -> post -> parameters and requestBody -> list[Argument]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from modelserve.messages import Argument, FileRule

__all__ = ["train_arguments"]

JSON = "application/json"
MULTIPART = "multipart/form-data"
FORM = "application/x-www-form-urlencoded"

# Headers that every train route reads and that the command sets for itself.
OURS = frozenset({"idempotency-key", "prefer", "x-request-id", "x-timeout-s"})

_Schema = Mapping[str, Any]


def train_arguments(document: _Schema, model: str) -> list[Argument] | None:
    """Return the arguments of a model's ``train``, None where the server trains no model of that name.

    Args:
        document: The server's OpenAPI document.
        model: The deployment's name.
    """
    path = f"/v2/models/{quote(model, safe='')}/train/"
    operation = document.get("paths", {}).get(path, {}).get("post")
    if operation is None:
        return None
    found: dict[str, Argument] = {}
    for argument in (*_of_body(operation.get("requestBody", {}).get("content", {})), *_of_parameters(operation)):
        found.setdefault(argument.name, argument)
    return list(found.values())


def _of_parameters(operation: _Schema) -> Iterator[Argument]:
    for parameter in operation.get("parameters", ()):
        name, place = parameter.get("name", ""), parameter.get("in")
        if place not in ("query", "header") or name.lower() in OURS:
            continue
        content = parameter.get("content", {}).get(JSON, parameter)
        schema = {**content.get("schema", {})}
        if "description" in parameter:
            schema["description"] = parameter["description"]
        location = "headers" if place == "header" else "query"
        yield Argument(name, location, bool(parameter.get("required")), schema, {})


def _of_body(content: _Schema) -> Iterator[Argument]:
    """Yield the arguments of the body; one that stands in a form and in JSON may be sent either way."""
    forms = [content[media_type] for media_type in (MULTIPART, FORM) if media_type in content]
    in_json = content.get(JSON, {}).get("schema", {}).get("properties", {})
    seen = set()
    for form in forms:
        for name, schema in form.get("schema", {}).get("properties", {}).items():
            if name not in seen:
                seen.add(name)
                yield _argument(form, name, schema, "" if name in in_json else "form")
    for name, schema in in_json.items():
        if name not in seen:
            yield _argument(content[JSON], name, schema, "json")


def _argument(body: _Schema, name: str, schema: _Schema, location: str) -> Argument:
    is_required = name in body.get("schema", {}).get("required", ())
    return Argument(name, location, is_required, dict(schema), {}, _file_rule(body, name, schema))


def _file_rule(body: _Schema, name: str, schema: _Schema) -> FileRule | None:
    is_many = schema.get("type") == "array"
    file = schema.get("items", {}) if is_many else schema
    if file.get("format") != "binary":
        return None
    types = body.get("encoding", {}).get(name, {}).get("contentType", "")
    return FileRule(many=is_many, media_types=[text.strip() for text in types.split(",") if text.strip()])
