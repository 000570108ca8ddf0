"""Checks, once at its start, what a worker says of its model: pages that are of all models show it too.

Ready --check_description--> nothing, or Misbehaved: the start has failed
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
import orjson

from modelserve.messages import Description
from modelserve.runtime.interface import Misbehaved

__all__ = ["MOST_CALLS", "MOST_JSON_BYTES", "check_description"]

# No model takes more calls at a time: it is more than a server has connections.
MOST_CALLS = 1 << 20

# A description as JSON. That of a model with 20,000 classes by name, in four places, is half of it.
MOST_JSON_BYTES = 4 * 1024 * 1024

_MEDIA_TYPE = re.compile(r"[!-.0-~]+/[ -~]+")
_HEADER = re.compile(r"[!-9;-@\[-~]+")


def check_description(description: Description) -> None:
    """Check the numbers by which a worker is given its calls, and that what it says of its model can be shown.

    Raises:
        Misbehaved: Something of it is none that a model can have.
    """
    for number in (description.max_batch_size, description.max_concurrency):
        if not 1 <= number < MOST_CALLS:
            raise Misbehaved(f"said that it takes {number} calls at a time")
    if not description.media_types or not _all(_MEDIA_TYPE, description.media_types):
        raise Misbehaved("said that it answers with what is no media type")
    if not _all(_HEADER, description.headers):
        raise Misbehaved("asked for a header whose name no header has")
    try:
        size = len(orjson.dumps(description, default=msgspec.structs.asdict))
    except TypeError as error:  # bytes, keys that are no text, a thousand lists in lists
        raise Misbehaved(f"described its model with what is no JSON: {error}") from error
    if size > MOST_JSON_BYTES:
        raise Misbehaved(f"described its model with {size} bytes of JSON; at most {MOST_JSON_BYTES} are taken")


def _all(allowed: re.Pattern[str], names: Iterable[str]) -> bool:
    return all(map(allowed.fullmatch, names))
