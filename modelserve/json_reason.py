"""Why JSON that a client sent cannot be read, in words that are true."""

from __future__ import annotations

import json
import re

import msgspec

__all__ = ["reason_of"]

# The escape of a surrogate; whether it stands alone, Python's own reader says.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_OF_SURROGATES = ("Input data was truncated", "invalid utf-16 surrogate pair")

NO_TEXT = "a text in it has half of a surrogate pair, such as \\ud800, which is no character"


def reason_of(error: msgspec.DecodeError, text: bytes | bytearray | memoryview) -> str:
    """Return why, as the rest of a sentence without its end: "invalid character".

    Where half of a surrogate pair is escaped, msgspec says that the data is truncated.
    """
    reason = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
    if reason.startswith(_OF_SURROGATES) and _SURROGATE.search(text) and _is_whole(bytes(text)):
        return NO_TEXT
    return reason[:1].lower() + reason[1:]


def _is_whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
