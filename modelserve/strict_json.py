"""Reads the JSON of clients strictly: bytes in, plain Python values out, or a BadRequest. Does no I/O.

What two readers could understand differently (duplicate keys, NaN, a broken encoding) is refused rather than guessed,
so that a proxy that inspects a body and the model that gets it see the same values.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from itertools import accumulate
from typing import Any

import msgspec

from modelserve.errors import BadRequest
from modelserve.json_reason import reason_of

__all__ = ["MAX_DEPTH", "Body", "parse_value", "quoted"]

# A large body need not be copied into bytes of its own; a memoryview is one of single bytes, without gaps.
Body = bytes | bytearray | memoryview
_Text = bytes | bytearray

# Levels of nesting. Real arguments have under ten; marshmallow and models recurse into them.
MAX_DEPTH = 64

_MAX_SHOWN = 100
# In longer texts a sign is looked for, not counted: to find the next takes about 60 ns, to count 0.3 ns a byte.
_SHORT_BYTES = 512
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(set(range(256)) - set(b'[]{}"'))
_ALL_BUT_COLONS_AND_QUOTES = bytes(set(range(256)) - set(b':"'))
# A text from here on has its keys counted before they are read one by one.
_LARGE_BYTES = 64 * 1024
# Of so many brackets, only these levels are peeled; each that opens is a step down, each that closes one up (-1).
_MANY_BRACKETS = 100_000
_PEELS_OF_MANY = 4
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def parse_value(body: Body) -> Any:
    """Return any JSON value, read strictly; whole numbers are exact at any size. One byte order mark may be before it.

    Raises:
        BadRequest: Malformed or truncated JSON, anything after it, NaN or a number beyond float64, an encoding other
            than UTF-8, a key given twice in one object, or more than ``MAX_DEPTH`` levels.
    """
    # A copy takes a hundredth of the time that decoding takes, and a view cannot be searched.
    text = bytes(body) if isinstance(body, memoryview) else body
    if text.startswith(BOM_UTF8):  # as Windows' programs write it; RFC 8259, section 8.1, lets a reader ignore it
        text = text[len(BOM_UTF8) :]
    value = _decode(text)
    braces = _count(text, b"{", MAX_DEPTH)
    # The limit needs the decoder's word that the JSON is sound: only then do strings end where the expression says.
    if braces + _count(text, b"[", MAX_DEPTH) > MAX_DEPTH and _too_deep(text):
        raise BadRequest(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    # Outside of strings every key has one colon. One object with as many keys as the body has colons lost none.
    if braces and not (braces == 1 and type(value) is dict and _count(text, b":", len(value)) == len(value)):
        _refuse_duplicate_keys(text, value)
    return value


def _count(text: _Text, sign: bytes, limit: int) -> int:
    """Return how often a sign is there, in strings too; where that is over the limit, any number over the limit."""
    if len(text) <= _SHORT_BYTES or limit > MAX_DEPTH:
        return text.count(sign)
    found, place = 0, text.find(sign)
    while place >= 0 and found <= limit:
        found += 1
        place = text.find(sign, place + 1)
    return found


def _decode(body: _Text) -> Any:
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise BadRequest(f"The JSON is nested more than {MAX_DEPTH} levels deep.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter up to msgspec 0.19
        raise BadRequest(f"The JSON cannot be read: {reason_of(error, body)}.") from error


def _too_deep(text: _Text) -> bool:
    """Peel the innermost pair of brackets from everywhere at once; of much that is deep, count level by level.

    Peeling is quicker where most lies a few levels deep, and slower where all lies as deep as it may.
    """
    brackets = _brackets(text)
    peels = MAX_DEPTH if len(brackets) < _MANY_BRACKETS else _PEELS_OF_MANY
    for _ in range(peels):
        if not brackets:
            return False
        brackets = _peel(brackets)
    return max(accumulate(memoryview(brackets.translate(_STEPS)).cast("b")), default=0) > MAX_DEPTH - peels


def _brackets(text: _Text) -> bytes:
    """Return the brackets that stand outside of strings."""
    if b"\\" in text:
        return _STRING.sub(b"", text).translate(None, _ALL_BUT_BRACKETS)
    # No quote is escaped, so strings are as well found in what is left: four times as fast for an array of numbers.
    return _STRING.sub(b"", bytes(text.translate(None, _ALL_BUT_BRACKETS_AND_QUOTES)))


def _peel(brackets: bytes) -> bytes:
    """Remove the pairs that hold nothing; a byte marks where one was, so that one pass takes one level."""
    marked = brackets.replace(b"[]", b".").replace(b"{}", b".")
    return marked.translate(None, b".")


def _refuse_duplicate_keys(text: _Text, value: Any) -> None:
    if isinstance(value, dict) and _is_surely_flat(text, value):
        return
    if len(text) < _LARGE_BYTES or not _has_all_keys(text, value):
        json.loads(text, object_pairs_hook=_object_of_unique_keys)


def _has_all_keys(text: _Text, value: Any) -> bool:
    """Tell whether as many keys are in the value as in its text: the slow reader has a call for each object."""
    try:
        return _count_keys(text) == _count_keys(msgspec.json.encode(value))
    except (OverflowError, ValueError, UnicodeEncodeError):  # what msgspec reads and does not write; the other tells
        return False


def _count_keys(text: _Text) -> int:
    if b"\\" in text:
        return _STRING.sub(b"", text).count(b":")
    return _STRING.sub(b"", bytes(text.translate(None, _ALL_BUT_COLONS_AND_QUOTES))).count(b":")


def _is_surely_flat(text: _Text, value: dict[str, Any]) -> bool:
    """Return whether there is one object alone, with all its keys, by leaving out the signs that its texts hold.

    Signs in texts that were lost, or stand deeper, are not left out, so that they only make it look less sure.
    """
    if b"\\" in text:  # an escaped sign is none of those counted
        return False
    texts = [*value, *(each for each in value.values() if type(each) is str)]
    braces = text.count(b"{") - sum(each.count("{") for each in texts)
    colons = text.count(b":") - sum(each.count(":") for each in texts)
    return braces == 1 and colons == len(value)


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRequest(f"The JSON gives the key {quoted(twice)} twice in one object.")
    return found


def quoted(text: str) -> str:
    """Return text of a client as a message may hold it: quoted, escaped and cut."""
    return json.dumps(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "...", ensure_ascii=False)
