"""JSON of jobs: what is written is read as the very same value, in arguments, results, events and callbacks.

    value --to_json--> text --from_json--> the same value

Whole numbers are exact at any size, up to the 4,300 digits that Python converts; floats are read as the nearest of 64
bits and written with as few digits as name it, so 0.1 and 0.10000000000000001 are one number, and 1, 1.0 and true are
three. NaN and infinity are no JSON: they are written as null. A lone surrogate, which no encoding can write, stays the
escape that it was.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["from_json", "to_json"]


def to_json(value: Any, *, is_sorted: bool = False) -> bytes:
    """Return JSON values as text in UTF-8.

    Args:
        value: Dicts, lists, texts, numbers, booleans, None, and structs of msgspec.
        is_sorted: Write the keys of each object in one order, so that equal values have equal texts.

    Raises:
        ValueError: An integer has too many digits.

    >>> to_json({"seed": 2**70, "text": "\\ud800"})
    b'{"seed":1180591620717411303424,"text":"\\\\ud800"}'
    """
    try:
        return msgspec.json.encode(value, order="deterministic" if is_sorted else None)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value)
        return json.dumps(plain, sort_keys=is_sorted, separators=(",", ":")).encode()


def from_json(text: str | bytes) -> Any:
    """Return the value that a text holds, whole numbers exactly.

    Raises:
        ValueError: It is no JSON, or holds a number that cannot be kept.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:  # it reads no lone surrogates, and everything else that is JSON
        return _from_json_of_any_text(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _from_json_of_any_text(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no number of JSON")
