"""Why JSON that a client sent cannot be read, in words that are true."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

import msgspec

__all__ = ["reason_of"]

# The escape of a surrogate; whether it stands alone, Python's own reader says.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_TRUNCATED, _NO_UTF_8 = "Input data was truncated", "Invalid UTF-8 encoded string"

_OF_SURROGATES = (_TRUNCATED, "invalid utf-16 surrogate pair")

NO_TEXT = "a text in it has half of a surrogate pair, such as \\ud800, which is no character"


def reason_of(error: msgspec.DecodeError | UnicodeDecodeError, text: bytes | bytearray | memoryview) -> str:
    """Return why, as the rest of a sentence without its end: "invalid character (byte 6)".

    Where half of a surrogate pair is escaped, msgspec says that the data is truncated. Where it really is, and where
    bytes are no UTF-8, it does not say at which byte.
    """
    if bytes(text[:2]) in (BOM_UTF16_BE, BOM_UTF16_LE):
        return "it is UTF-16, and must be UTF-8"
    if isinstance(error, UnicodeDecodeError):
        reason = _NO_UTF_8
    else:
        reason = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
    if reason.startswith(_OF_SURROGATES) and _SURROGATE.search(text) and _is_whole(bytes(text)):
        return NO_TEXT
    return reason[:1].lower() + reason[1:] + _where(reason, text)


def _where(reason: str, text: bytes | bytearray | memoryview) -> str:
    if reason == _TRUNCATED:
        return f" (byte {len(text)})"
    if reason == _NO_UTF_8:
        try:
            str(text, "utf-8")
        except UnicodeDecodeError as error:
            return f" (byte {error.start})"
    return ""


def _is_whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
