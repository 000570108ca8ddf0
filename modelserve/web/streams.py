"""Sends an answer that comes in parts, each as soon as the worker has it, and no faster than the client reads.

    Streamed -> head -> one chunk for each part -> the end, or no end where the model failed on the way

A worker that fails on the way has put what the client may know into the data, where the format has a place for it; one
that died, or took too long, had no time for that, and it is done here. The connection then closes without the final
chunk, so that no client takes the answer for a whole one.
"""

from __future__ import annotations

import contextlib

import orjson
from aiohttp import web

from modelserve.messages import Part
from modelserve.runtime.fleet import Streamed
from modelserve.web.events import EVENTS, FOR_EVENTS
from modelserve.web.failures import BrokenAnswer, log_failure
from modelserve.web.requests import REQUEST_ID, client_of
from modelserve.web.responses import begun_response

__all__ = ["send_stream"]


async def send_stream(request: web.Request, answer: Streamed, deployment: str) -> web.StreamResponse:
    """Send the response to a call whose answer is streamed, and return it once the last part is sent.

    Raises:
        BrokenAnswer: The model, or its worker, failed after the first part.
        ConnectionError: The client left. The worker is told so at once.
    """
    parts = answer.parts
    assert parts is not None, "a streamed answer has parts"
    with contextlib.closing(parts):
        response = begun_response(answer, request[REQUEST_ID])
        is_events = answer.content_type.partition(";")[0] == EVENTS
        if is_events:
            response.headers.update(FOR_EVENTS)
        await response.prepare(request)
        async for part in parts:
            data = _error_event(part) if is_events and part.failure is not None and not part.data else part.data
            if data:
                await response.write(data)
            if part.failure is not None:
                log_failure(part.failure, request[REQUEST_ID], deployment, client_of(request).name)
                raise BrokenAnswer(part.failure.status, f"the stream ended early: {part.failure.code}")
        await response.write_eof()
        return response


def _error_event(part: Part) -> bytes:
    """Return the event of a failure that its worker could not tell of."""
    assert part.failure is not None, "only a failure is an error"
    return b"event: error\ndata: %b\n\n" % orjson.dumps({"message": part.failure.message, "code": part.failure.code})
