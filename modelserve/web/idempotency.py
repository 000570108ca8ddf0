"""The key by which a client may send a request once more and have it done once.

Idempotency-Key: a1b2  ->  "a1b2"        none  ->  ""        one that is empty, too long or no printable ASCII  ->  400
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from modelserve.errors import BadRequest

__all__ = ["IDEMPOTENCY_KEY", "idempotency_key"]

IDEMPOTENCY_KEY = "Idempotency-Key"

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def idempotency_key(headers: Mapping[str, str]) -> str:
    """Return the key of a request, "" where it has none.

    Raises:
        BadRequest: It is none that is taken.
    """
    key = headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise BadRequest(f"An {IDEMPOTENCY_KEY} has 1 to 255 printable ASCII characters.")
    return key
