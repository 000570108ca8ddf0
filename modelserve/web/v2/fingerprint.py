"""What tells whether two requests with one Idempotency-Key are the same: all that the client has sent, as JSON has it.

    Call --its query, headers that the model reads, form, files by content, JSON--> a hash

Nothing that the model makes of it counts: not a default, which may be the time of day, nor the text of an object.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any
from urllib.parse import parse_qsl

from modelserve.body import kind, parse_form
from modelserve.errors import BadRequest, InvalidArguments, UnsupportedMedia
from modelserve.exact import to_json
from modelserve.jobs.job import Operation
from modelserve.messages import Call, FilePart
from modelserve.strict_json import parse_value

__all__ = ["fingerprint_of"]

# A larger body is compared byte by byte: reading it would hold up all others for a while.
READ_BYTES = 1 << 20

_REFUSED = (BadRequest, InvalidArguments, UnsupportedMedia)


def fingerprint_of(call: Call, operation: Operation, callback_url: str) -> str:
    """Return the hash of what a client asks for; it reads the call's files, and blocks.

    The same are JSON with other white space or in another order of keys, numbers that are one float, and a query or
    form whose names come in another order. 1, 1.0 and true differ, as do a query and JSON that say the same.
    """
    hashed = hashlib.blake2b(digest_size=16)
    query = _sorted(parse_qsl(call.query, keep_blank_values=True, errors="surrogateescape"))
    form = _sorted(call.form)
    body, unread = _body(call)
    said = [operation.value, callback_url, call.accept, query, sorted(call.headers.items()), form, body]
    hashed.update(to_json(said, is_sorted=True))
    hashed.update(unread)
    for part in call.files:
        hashed.update(_file(part))
    return hashed.hexdigest()


def _sorted(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return fields by their names; those of one name stay in their order, which the model sees."""
    return sorted(pairs, key=lambda pair: pair[0])


def _body(call: Call) -> tuple[list[Any], bytes]:
    """Return what a body says, and, where it is not read, the body itself."""
    with contextlib.suppress(*_REFUSED):  # a model may take what we do not read
        if len(call.body) <= READ_BYTES:
            match kind(call.content_type):
                case "json":
                    return ["json", parse_value(call.body)], b""
                case "form":
                    return ["form", _sorted(parse_form(call.body))], b""
    return ["bytes"], call.body


def _file(part: FilePart) -> bytes:
    with open(part.path, "rb") as file:
        content = hashlib.file_digest(file, hashlib.blake2b).digest()
    return to_json([part.name, part.filename, part.content_type, part.size]) + content
