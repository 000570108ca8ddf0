"""An answer as the line of its row: made of the answer's own bytes, which are not parsed.

Row, Answer --> {"row": 7, "input": "seven.png", "output": ...}
            or  {"row": 7, "error": {"status": 422, "code": "invalid", "message": "...", "fields": {...}}}
            or  {"row": 7, "file": "00000007.png", "content_type": "image/png"}, and the file's bytes
"""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from typing import NamedTuple

import orjson

from modelserve.messages import Answer, Failure
from modelserve.names import suffix_of

__all__ = ["File", "line", "line_and_file"]

# The digits of a file's name: a million rows sort as they come.
NAME_DIGITS = 8


class File(NamedTuple):
    """An answer that is kept as a file of its own."""

    name: str
    body: bytes


def line(number: int, label: bytes, answer: Answer) -> bytes:
    """Return the line of a row whose answer stands in the line itself, and is JSON."""
    if answer.failure is not None:
        return _error_line(number, label, answer.failure)
    body = answer.body
    if b"\n" in body:  # in sound JSON it can only stand between two values
        body = body.replace(b"\n", b" ")
    return b'{"row":%d%b,"output":%b}\n' % (number, label, body)


def line_and_file(number: int, label: bytes, answer: Answer) -> tuple[bytes, File | None]:
    """Return the line of a row whose answer is kept in a file, and that file; a failure has none."""
    if answer.failure is not None:
        return _error_line(number, label, answer.failure), None
    name = f"{number:0{NAME_DIGITS}d}{_suffix(answer)}"
    about = orjson.dumps({"file": name, "content_type": answer.content_type})
    return b'{"row":%d%b,%b\n' % (number, label, about[1:]), File(name, answer.body)


def _error_line(number: int, label: bytes, failure: Failure) -> bytes:
    error: dict[str, object] = {"status": failure.status, "code": failure.code, "message": failure.message}
    if failure.fields is not None:
        error["fields"] = failure.fields
    if failure.log:
        error["cause"] = failure.cause
    return b'{"row":%d%b,"error":%b}\n' % (number, label, orjson.dumps(error))


def _suffix(answer: Answer) -> str:
    """Return the suffix of the name that the model said, or of the media type."""
    return suffix_of(answer.filename) or _usual_suffix(answer.content_type)


@lru_cache(maxsize=64)
def _usual_suffix(content_type: str) -> str:
    return mimetypes.guess_extension(content_type.partition(";")[0].strip()) or ".bin"
