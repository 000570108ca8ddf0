"""POST /v2/models/{name}/predict/: a request becomes a Call, its Answer a response.

    request -> Call -> Deployment -> Answer -> response

Nothing of the body is parsed here but multipart, whose files are streamed to disk; the worker does the rest. This is
the hot path: each deployment has a route and a handler of its own, so that nothing is looked up for a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time

from aiohttp import hdrs, web

from modelserve.errors import BadRequest, ModelserveError, TooLarge, Unavailable, UnsupportedMedia
from modelserve.messages import Answer, Call
from modelserve.metrics import DeploymentMetrics
from modelserve.runtime.fleet import Deployment, Streamed
from modelserve.settings import Settings
from modelserve.web.direct import DirectResponse, header_lines, is_direct
from modelserve.web.failures import BrokenAnswer, failure_response, log_failure
from modelserve.web.files import remove, send_file
from modelserve.web.requests import REQUEST_ID
from modelserve.web.responses import answer_headers, bytes_response
from modelserve.web.streams import send_stream
from modelserve.web.uploads import Uploads

__all__ = ["Predict"]

# What nginx logs for a client that has left: https://nginx.org/en/docs/dev/development_guide.html#http_error_code
CLIENT_LEFT = 499

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


class Predict:
    """The predict route of one deployment.

    Args:
        deployment: What answers the calls.
        settings: Of them the limits of bodies.
        metrics: Where the answers are counted.
        folder: Where requests keep their files.
    """

    def __init__(self, deployment: Deployment, settings: Settings, metrics: DeploymentMetrics, folder: str) -> None:
        self._deployment = deployment
        self._max_body_bytes = settings.max_body_bytes
        self._max_upload_bytes = settings.max_upload_bytes
        self._metrics = metrics
        self._folder = folder

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and count it."""
        since = time.perf_counter()
        status = 500
        try:
            response = await self._answer(request)
            status = response.status
            return response
        except (ModelserveError, BrokenAnswer, web.HTTPException) as error:
            status = error.status
            raise
        except (asyncio.CancelledError, ConnectionError):
            status = CLIENT_LEFT
            raise
        finally:
            self._metrics.predicted(status, time.perf_counter() - since)

    async def expect(self, request: web.Request) -> None:
        """Answer ``Expect: 100-continue``, but not for a body that ``answer`` refuses unsent."""
        with contextlib.suppress(TooLarge, Unavailable):
            self._check_size(request)
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the interim answer is not part of the final one

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = self._begin(request)
        if call.content_type[:10].lower() == "multipart/":
            return await self._answer_form(request, call)
        if call.content_type or request.body_exists:
            call.body = await request.read()
            if len(call.body) > self._max_body_bytes:  # it told no length, and another model may take more
                raise TooLarge(f"The body is larger than the {self._max_body_bytes} bytes that are accepted.")
        return await self._run(request, call)

    async def _answer_form(self, request: web.Request, call: Call) -> web.StreamResponse:
        uploads = Uploads(self._folder, max_bytes=self._max_upload_bytes, max_text_bytes=self._max_body_bytes)
        try:
            await uploads.read(request)
            call.form, call.files = uploads.form, uploads.files
            return await self._run(request, call)
        finally:
            uploads.remove()

    async def _run(self, request: web.Request, call: Call) -> web.StreamResponse:
        future = self._deployment.call(call)
        try:
            answer = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the client left while its answer was on its way here
                _discard(future.result())
            raise
        if answer.failure is not None:
            log_failure(answer.failure, call.request_id, self._deployment.name)
            return failure_response(answer.failure, call.request_id)
        if answer.stream:
            assert isinstance(answer, Streamed), "the deployment has put its parts to it"
            return await send_stream(request, answer, self._deployment.name)
        if answer.file is not None:
            return await send_file(request, answer, answer.file, call.request_id)
        if not is_direct(request):
            return bytes_response(answer)
        if answer.content_type == "application/json" and not answer.filename:
            return await DirectResponse(request).send(answer.body, call.request_id)
        return await DirectResponse(request).send(answer.body, call.request_id, header_lines(answer_headers(answer)))

    def _begin(self, request: web.Request) -> Call:
        """Return the call with all but its body, once the request's head is found acceptable."""
        self._check_size(request)
        headers = request.headers
        if headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in ("", "identity"):
            raise UnsupportedMedia("Compressed request bodies are not accepted; send the body as it is.")
        call = Call(
            request_id=request[REQUEST_ID],
            query=request.rel_url.raw_query_string,
            content_type=headers.get(hdrs.CONTENT_TYPE, "") if request.body_exists else "",  # no body is of no type
            accept=headers.get(hdrs.ACCEPT, ""),
        )
        timeout = headers.get("X-Timeout-S")
        if timeout is not None:
            call.deadline = time.monotonic() + _seconds(timeout)
        description = self._deployment.description
        if description is not None and description.headers:
            call.headers = {name: headers[name] for name in description.headers if name in headers}
        return call

    def _check_size(self, request: web.Request) -> None:
        """Refuse a call that is too large or would find no place, before its body is read.

        A form's files do not wait in memory.
        """
        length = request.content_length
        is_form = request.headers.get(hdrs.CONTENT_TYPE, "")[:10].lower() == "multipart/"
        limit = self._max_upload_bytes if is_form else self._max_body_bytes
        if length is not None and length > limit:
            raise TooLarge(f"The body is {length} bytes, but at most {limit} are accepted.")
        self._deployment.check_room(0 if length is None or is_form else length)


def _discard(answer: Answer) -> None:
    if isinstance(answer, Streamed) and answer.parts is not None:
        answer.parts.close()
    if answer.file is not None:
        remove(answer.file)


def _seconds(text: str) -> float:
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not seconds:
        raise BadRequest(f"X-Timeout-S is {text[:40]!r}, but must be a number of seconds above 0, such as 2.5.")
    return seconds
