"""POST /v2/models/{name}/predict/: a request becomes a Call, its Answer a response.

    request -> Call -> Deployment -> Answer -> response

Nothing of the body is parsed here but multipart, whose files are streamed to disk; the worker does the rest. This is
the hot path: each deployment has a route and a handler of its own, so that nothing is looked up for a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from modelserve.messages import Answer, Call
from modelserve.runtime.fleet import Streamed, discard
from modelserve.runtime.interface import Answering
from modelserve.web.calls import CallReader
from modelserve.web.direct import DirectResponse, header_lines, is_direct
from modelserve.web.failures import failure_response, log_failure
from modelserve.web.files import send_file
from modelserve.web.idempotency import IDEMPOTENCY_KEY, idempotency_key
from modelserve.web.large import LARGE_BYTES, LargeAnswers
from modelserve.web.preferences import PREFER, prefers_async
from modelserve.web.responses import answer_headers, bytes_response
from modelserve.web.streams import send_stream

__all__ = ["Later", "Predict", "discard_late"]

Later = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Predict:
    """The predict route of one deployment.

    Args:
        deployment: What answers the calls.
        calls: Reads them.
        later: Answers a client that would rather not wait; None where no jobs are kept, and all must wait.
    """

    def __init__(self, deployment: Answering, calls: CallReader, *, later: Later | None = None) -> None:
        self._deployment = deployment
        self._calls = calls
        self._later = later
        self._large = LargeAnswers(calls.rooms, calls.folder)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if self._later is not None and PREFER in request.headers and prefers_async(request.headers):
            return await self._later(request)
        if IDEMPOTENCY_KEY in request.headers:
            idempotency_key(request.headers)  # it has no use here, but is refused as it would be there
        call = self._calls.begin(request)
        uploads = await self._calls.read(request, call)
        if uploads is None:
            return await self._run(request, call)
        try:
            return await self._run(request, call)
        finally:
            uploads.remove()

    async def _run(self, request: web.Request, call: Call) -> web.StreamResponse:
        future = self._deployment.call(call)
        try:
            answer = await future
        except asyncio.CancelledError:
            discard_late(future)
            raise
        if answer.failure is not None or answer.stream or answer.file is not None:
            return await self._send_unusual(request, call, answer)
        if len(answer.body) >= LARGE_BYTES:
            return await self._large.send(request, answer, call.request_id, {}, is_own=True)
        if not is_direct(request):
            return bytes_response(answer)
        if answer.content_type == "application/json" and not answer.filename:
            return await DirectResponse(request).send(answer.body, call.request_id)
        return await DirectResponse(request).send(answer.body, call.request_id, header_lines(answer_headers(answer)))

    async def _send_unusual(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        """Return the response to a call whose answer is not bytes: a failure, or a stream or a file, which is sent."""
        try:
            return await self._sent_unusual(request, call, answer)
        except BaseException:
            discard(answer)
            raise

    async def _sent_unusual(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        if answer.failure is not None:
            log_failure(answer.failure, call.request_id, self._deployment.name, call.client)
            return failure_response(answer.failure, call.request_id)
        if answer.stream:
            assert isinstance(answer, Streamed), "the deployment has put its parts to it"
            return await send_stream(request, answer, self._deployment.name)
        assert answer.file is not None, "nothing else is unusual"
        return await send_file(request, answer, answer.file, call.request_id)


def discard_late(future: asyncio.Future[Answer]) -> None:
    """Let go of an answer that was on its way while its client left."""
    if future.done() and not future.cancelled() and future.exception() is None:
        discard(future.result())
