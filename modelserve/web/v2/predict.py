"""POST /v2/models/{name}/predict/: a request becomes a Call, its Answer a response.

Nothing of the body is parsed here but multipart, whose files are streamed to disk; the worker does the rest.
"""

from __future__ import annotations

import time

from aiohttp import hdrs, web
from multidict import CIMultiDict

from modelserve.errors import ModelserveError, TooLarge, UnsupportedMedia
from modelserve.messages import Call, Description
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Deployment, Fleet
from modelserve.settings import Settings
from modelserve.web.failures import describe_error, failure_response, log_failure
from modelserve.web.requests import REQUEST_ID
from modelserve.web.responses import answer_response
from modelserve.web.uploads import Uploads

__all__ = ["Predict"]


class Predict:
    """The predict route of every deployment."""

    def __init__(self, fleet: Fleet, settings: Settings, metrics: Metrics) -> None:
        self._fleet = fleet
        self._max_body_bytes = settings.max_body_bytes
        self._max_upload_bytes = settings.max_upload_bytes
        self._metrics = {name: metrics.deployment(name) for name in fleet.deployments}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        since = time.perf_counter()
        deployment = self._fleet.find(request.match_info["name"])
        status = 500
        try:
            response = await self._predict(request, deployment)
            status = response.status
            return response
        except ModelserveError as error:
            status = error.status
            raise
        finally:
            self._metrics[deployment.name].predicted(status, time.perf_counter() - since)

    async def expect(self, request: web.Request) -> web.Response | None:
        """Answer ``Expect: 100-continue``: a body that is too large is refused before it is sent."""
        try:
            self._check_length(request)
        except TooLarge as error:
            return failure_response(describe_error(error), request.headers.get("X-Request-ID", ""))
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the interim answer is not part of the final one
        return None

    async def _predict(self, request: web.Request, deployment: Deployment) -> web.StreamResponse:
        self._check_length(request)
        headers = request.headers
        if headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in ("", "identity"):
            raise UnsupportedMedia("Compressed request bodies are not accepted; send the body as it is.")
        has_body = request.body_exists
        call = Call(
            request_id=request[REQUEST_ID],
            query=request.rel_url.raw_query_string,
            content_type=headers.get(hdrs.CONTENT_TYPE, "") if has_body else "",  # no body is of no type
            accept=headers.get(hdrs.ACCEPT, ""),
            headers=_wanted_headers(request, deployment.description),
        )
        if call.content_type[:10].lower() == "multipart/":
            return await self._predict_form(request, deployment, call)
        if has_body:
            call.body = await request.read()
        return await self._call(request, deployment, call)

    async def _predict_form(self, request: web.Request, deployment: Deployment, call: Call) -> web.StreamResponse:
        uploads = Uploads(self._fleet.folder, max_bytes=self._max_upload_bytes, max_text_bytes=self._max_body_bytes)
        try:
            await uploads.read(request)
            call.form, call.files = uploads.form, uploads.files
            return await self._call(request, deployment, call)
        finally:
            uploads.remove()

    async def _call(self, request: web.Request, deployment: Deployment, call: Call) -> web.StreamResponse:
        answer = await deployment.call(call)
        if answer.failure is not None:
            log_failure(answer.failure, call.request_id, deployment.name)
            return failure_response(answer.failure, call.request_id)
        return await answer_response(request, answer, CIMultiDict())

    def _check_length(self, request: web.Request) -> None:
        length = request.content_length
        if length is not None and length > self._max_body_bytes:
            multipart = request.headers.get(hdrs.CONTENT_TYPE, "")[:10].lower() == "multipart/"
            limit = self._max_upload_bytes if multipart else self._max_body_bytes
            if length > limit:
                raise TooLarge(f"The body is {length} bytes, but at most {limit} are accepted.")


def _wanted_headers(request: web.Request, description: Description | None) -> dict[str, str]:
    if description is None:
        return {}
    return {name: request.headers[name] for name in description.headers if name in request.headers}
