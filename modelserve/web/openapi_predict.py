"""Describes one model's predict route for OpenAPI 3.1: where each argument may stand, and what comes back. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelserve.messages import Argument, Description, FileRule
from modelserve.web.routes_text import ITEM_TYPES, JSON, PREDICT_ERRORS, STATUS_TEXTS, STREAM_TEXT, TIMEOUT_TEXT
from modelserve.web.schema_refs import as_markdown, rewrite

__all__ = ["PLACES_TEXT", "TIMEOUT_PARAMETER", "answer_of", "predict_operation", "request_of"]

# "If in is header and the name is Accept, Content-Type or Authorization, the parameter definition SHALL be ignored."
# (OpenAPI 3.1.0, Parameter Object)
_RESERVED_HEADERS = frozenset({"accept", "authorization", "content-type"})

_ACCEPT_TEXT = "The media type of the answer."
_NO_ACCEPT_TEXT = "Without it the Accept header decides."

PLACES_TEXT = (
    "An argument may be given in the query as well, unless it is a file or bound to another place. "
    "The query wins over a form, which wins over a JSON body. A list is given by repeating its name."
)

# The header that every predict route reads, beside what its model does.
TIMEOUT_PARAMETER = {
    "name": "X-Timeout-S",
    "in": "header",
    "description": TIMEOUT_TEXT,
    "schema": {"type": "number", "minimum": 0.001, "exclusiveMaximum": 1_000_000_000},
}

_PREDICTION = {"$ref": "#/components/schemas/Prediction"}


@dataclass(frozen=True)
class _Body:
    """One content type of the request: from which locations it takes arguments, and whether it carries files."""

    media_type: str
    locations: frozenset[str]
    has_files: bool

    def takes(self, argument: Argument) -> bool:
        """Tell whether the argument may stand in a body of this type."""
        return argument.location in self.locations and (self.has_files or argument.file is None)


_MULTIPART = _Body("multipart/form-data", frozenset({"", "form"}), has_files=True)
_JSON = _Body(JSON, frozenset({"", "json"}), has_files=False)
_FORM = _Body("application/x-www-form-urlencoded", frozenset({"", "form"}), has_files=False)


def predict_operation(model: Description, refs: Mapping[str, str]) -> dict[str, Any]:
    """Return the operation of a model's predict route, without its tags and id.

    Args:
        model: What the model says of itself.
        refs: The references of the model's own schemas to what they are called in the document.
    """
    operation: dict[str, Any] = {"summary": f"Predict with {model.metadata.name}", "description": PLACES_TEXT}
    operation |= request_of(model.predict, refs)
    operation["parameters"].append(TIMEOUT_PARAMETER)
    operation["responses"] = {"200": answer_of(model, refs)} | {
        str(status): {"$ref": f"#/components/responses/Error{status}"} for status in PREDICT_ERRORS
    }
    return operation


def request_of(arguments: Sequence[Argument], refs: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters, and where there is one the body, of an operation that takes these arguments."""
    in_body = [item for item in arguments if item.location != "headers" and not _is_parameter(item)]
    request: dict[str, Any] = {"parameters": [_parameter(item, refs) for item in arguments if _is_parameter(item)]}
    if content := _contents(in_body, refs):
        request["requestBody"] = {"required": any(item.required for item in in_body), "content": content}
    return request


def answer_of(model: Description, refs: Mapping[str, str]) -> dict[str, Any]:
    """Return the response that is a model's prediction."""
    answer = _PREDICTION if model.response is None else rewrite(model.response, refs, text=as_markdown)
    item = {} if model.response is None else answer
    return {
        "description": STREAM_TEXT if model.streams else STATUS_TEXTS[200],
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}},
        "content": {
            media_type: _stream(media_type, item) if model.streams else {"schema": _answer_schema(media_type, answer)}
            for media_type in model.media_types
        },
    }


def _is_accept(argument: Argument) -> bool:
    return argument.name == "accept" and argument.location in ("", "query")


def _is_parameter(argument: Argument) -> bool:
    if argument.location == "headers":
        return argument.name.lower().replace("_", "-") not in _RESERVED_HEADERS
    return argument.location == "query" or _is_accept(argument)


def _parameter(argument: Argument, refs: Mapping[str, str]) -> dict[str, Any]:
    schema = rewrite(argument.schema, refs, text=as_markdown)
    text = schema.pop("description", "")
    parameter = {"name": argument.name, "in": "query", "required": argument.required}
    if argument.location == "headers":
        # A worker reads the dashed name as well, and proxies drop headers with an underscore.
        parameter |= {"name": argument.name.replace("_", "-"), "in": "header"}
    if _is_accept(argument):
        # With a default Swagger UI would always send it, and so overrule the Accept header it lets its user choose.
        schema.pop("default", None)
        text = f"{text or _ACCEPT_TEXT} {_NO_ACCEPT_TEXT}"
        parameter["required"] = False
    if text:
        parameter["description"] = text
    # What is neither a value nor a flat list of values is read as JSON text.
    return parameter | ({"schema": schema} if _is_flat(schema) else {"content": {JSON: {"schema": schema}}})


def _is_flat(schema: Mapping[str, Any]) -> bool:
    items = schema.get("items", {})
    compound = {"$ref", "anyOf", "oneOf", "allOf", "properties"}
    return not (compound & schema.keys() or _is(schema, "object")) and (
        not items or not (compound & items.keys() or _is(items, "object") or _is(items, "array"))
    )


def _is(schema: Mapping[str, Any], kind: str) -> bool:
    kinds = schema.get("type")
    return kind in kinds if isinstance(kinds, list) else kind == kinds


def _contents(arguments: list[Argument], refs: Mapping[str, str]) -> dict[str, Any]:
    """Return the request's content types; the first is the one that Swagger UI opens with."""
    has_files = any(argument.file for argument in arguments)
    order = (_MULTIPART, _JSON) if has_files else (_JSON, _MULTIPART, _FORM)
    possible = [body for body in order if any(map(body.takes, arguments))]
    # One that cannot carry a required argument would never succeed.
    complete = [body for body in possible if all(body.takes(item) for item in arguments if item.required)]
    return {body.media_type: _content(body, arguments, refs) for body in complete or possible}


def _content(body: _Body, arguments: list[Argument], refs: Mapping[str, str]) -> dict[str, Any]:
    taken = [argument for argument in arguments if body.takes(argument)]
    schema = {
        "type": "object",
        "properties": {item.name: _property(item, refs) for item in taken},
        "required": [item.name for item in taken if item.required],
        "additionalProperties": False,
    }
    encoding = {} if body is _JSON else {item.name: told for item in taken if (told := _encoding(item))}
    return {"schema": schema} | ({"encoding": encoding} if encoding else {})


def _encoding(argument: Argument) -> dict[str, Any]:
    """Return how a form says an argument: a file of its types, a list as one part for each item."""
    if argument.file:
        return {"contentType": ", ".join(argument.file.media_types)} if argument.file.media_types else {}
    # Swagger UI writes one text with commas otherwise, though the specification's default is the same as this.
    several = any(_is(each, "array") for each in (argument.schema, *argument.schema.get("anyOf", ())))
    return {"style": "form", "explode": True} if several else {}


def _property(argument: Argument, refs: Mapping[str, str]) -> dict[str, Any]:
    schema: dict[str, Any] = rewrite(argument.schema, refs, text=as_markdown)
    return _file_schema(argument.file, schema.get("description", "")) if argument.file else schema


def _file_schema(rule: FileRule, text: str) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    schema: dict[str, Any] = {"type": "array", "items": file} if rule.many else dict(file)
    return schema | ({"description": text} if text else {})


def _stream(media_type: str, item: dict[str, Any]) -> dict[str, Any]:
    """Return a streamed body. OpenAPI has a word for its items from 3.2 on: itemSchema."""
    text: dict[str, Any] = {"type": "string"}
    if media_type == JSON:
        return {"schema": {"type": "array", "items": item}}
    if media_type in ITEM_TYPES:
        return {"schema": text, "x-itemSchema": item}
    return {"schema": _answer_schema(media_type, text)}


def _answer_schema(media_type: str, answer: dict[str, Any]) -> dict[str, Any]:
    if media_type == JSON or media_type.endswith("+json"):
        return answer
    return {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}
