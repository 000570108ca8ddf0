"""Which answers can stand in a line, and what the model is asked for so that they can."""

from __future__ import annotations

from functools import lru_cache

import orjson

from modelserve.errors import SettingsError
from modelserve.messages import Answer, Description, Failure

__all__ = ["BAD_TYPE", "JSON", "accept_of", "check_accept", "in_json", "is_for_lines"]

BAD_TYPE = "bad_type"
JSON = "application/json"

_LINES = ("application/x-ndjson", "application/jsonl")
_FOLDER = "let --output be a folder, such as answers/"


@lru_cache(maxsize=64)
def is_for_lines(content_type: str) -> bool:
    """Tell whether an answer of this type can stand in a line: JSON, lines of JSON, or text."""
    essence = _essence(content_type)
    return essence == JSON or essence in _LINES or essence.endswith("+json") or essence.startswith("text/")


def in_json(answer: Answer) -> Answer:
    """Return an answer of another type in JSON: lines as a list, text as a text; any other type is a failure."""
    if not is_for_lines(answer.content_type):
        message = f"The answer is {answer.content_type}, which no line holds: {_FOLDER}."
        return Answer(answer.id, failure=Failure(500, BAD_TYPE, message))
    essence, body = _essence(answer.content_type), answer.body
    if essence in _LINES:
        body = b"[" + b",".join(filter(None, body.splitlines())) + b"]"
    elif essence.startswith("text/"):
        body = orjson.dumps(body.decode(errors="replace"))
    return Answer(answer.id, JSON, body)


def accept_of(description: Description, asked: str, *, is_folder: bool) -> str:
    """Return the Accept header of every call, "" for what the model answers by default.

    Args:
        description: The model's.
        asked: What ``--accept`` says, "" for nothing.
        is_folder: Whether each answer is kept in a file of its own.

    Raises:
        SettingsError: The model cannot answer so, or no line can hold the answer.
    """
    offered = description.media_types
    check_accept(description, asked)
    if asked or is_folder:
        chosen = asked
    elif JSON in offered[:1] or (description.streams and JSON in offered):
        chosen = JSON  # of any stream as well, whether or not the model is known for it
    elif description.streams:
        chosen = _LINES[0]
    else:
        chosen = "" if is_for_lines(offered[0]) else next(filter(is_for_lines, offered), "")
    answered = chosen or offered[0]
    if not is_folder and "*" not in asked and not is_for_lines(answered):
        raise SettingsError(f"The answers are {answered}, which no line holds: {_FOLDER}.")
    return chosen


def check_accept(description: Description, asked: str) -> None:
    """Refuse a media type that the model does not offer, which some models would answer with their default.

    Args:
        description: The model's.
        asked: What ``--accept`` says, as in the header of that name; "" for nothing.

    Raises:
        SettingsError: The model can answer with none of it.
    """
    offered = description.media_types
    wanted = [_essence(part) for part in asked.split(",")]
    if asked and not description.streams and not any(_meet(a, _essence(b)) for a in wanted for b in offered):
        raise SettingsError(f"--accept {asked}: this model answers with {', '.join(offered)}.")


def _meet(one: str, other: str) -> bool:
    """Tell whether two media types, or ranges of them, have a type in common."""
    return "*/*" in (one, other) or one == other or _is_in(one, other) or _is_in(other, one)


def _is_in(one: str, other: str) -> bool:
    return other.endswith("/*") and one.startswith(other[:-1])


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
