"""Ends what goes on for clients whose leave is over: their token was revoked or has expired, or their rights lowered.

    every LOOK_S, each request whose bytes flow -> its client is on the roll no more -> its connection ends

A client that follows a log or events, takes a download or sends a body could go on for hours otherwise. What was asked
before and has no answer yet is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aiohttp import web

from modelserve.access.roll import Roll
from modelserve.web.auth import NOBODY
from modelserve.web.requests import HAS_FAILED, REQUEST_ID, client_of

__all__ = ["end_expired"]

logger = logging.getLogger(__name__)

# With the time in which the roll is read again, this is less than a second.
LOOK_S = 0.25


async def end_expired(roll: Roll, requests: Callable[[], Iterable[web.BaseRequest]]) -> None:
    """End what goes on for clients that may not any more, again and again; only being cancelled ends it.

    Args:
        roll: Whom the server knows.
        requests: Returns those that are being answered.
    """
    while True:
        await asyncio.sleep(LOOK_S)
        if roll.is_empty:
            continue
        for request in [request for request in requests() if _flows(request) and not _is_allowed(request, roll)]:
            if request.transport is not None:
                request.transport.abort()


def _flows(request: web.BaseRequest) -> bool:
    """Tell whether an answer has begun, or a body has not come whole."""
    return request.writer.output_size > 0 or not request.content.is_eof()


def _is_allowed(request: web.BaseRequest, roll: Roll) -> bool:
    if not isinstance(request, web.Request) or REQUEST_ID not in request or HAS_FAILED in request:
        return True  # it was not admitted, or is only told so
    client = client_of(request)
    if client is NOBODY or roll.is_valid(client):
        return True
    logger.info("a request of %s has ended: its token is not valid any more", client.name or "anybody")
    return False
