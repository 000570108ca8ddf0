"""Reads the Prefer header: what a client would like, and a server may leave (RFC 7240)."""

from __future__ import annotations

import re

from multidict import CIMultiDictProxy, istr

__all__ = ["PREFER", "RESPOND_ASYNC", "prefers_async"]

PREFER = istr("Prefer")

# "the client prefers the server to respond asynchronously to a response" (RFC 7240, section 4.1)
RESPOND_ASYNC = "respond-async"

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def prefers_async(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether a client would rather be answered at once than with what it asks for.

    Names are compared whatever their case, and what else is preferred does not matter, ``wait=10`` either: a server
    that keeps jobs answers at once.
    """
    preferences = ",".join(_QUOTED.sub("", line) for line in headers.getall(PREFER, [])).split(",")
    return any(preference.partition(";")[0].strip().lower() == RESPOND_ASYNC for preference in preferences)
