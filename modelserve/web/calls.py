"""Reads a request of a client into a Call: its head, and its body, of which only a form is taken apart.

    request -> begin: refused unread, or a Call without its body -> read -> the Call, its files in a private folder

Whatever runs a model does it so: a prediction now, one in the background, a training. It is part of the hot path.
"""

from __future__ import annotations

import contextlib
import re
import time

from aiohttp import hdrs, web

from modelserve.errors import BadRequest, TooLarge, Unavailable, UnsupportedMedia
from modelserve.messages import Call
from modelserve.runtime.interface import Answering
from modelserve.settings import Settings
from modelserve.web.requests import REQUEST_ID
from modelserve.web.uploads import Uploads

__all__ = ["CallReader"]

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


class CallReader:
    """Reads the requests for one deployment.

    Args:
        deployment: What the calls are for.
        settings: Of them the limits of bodies.
        folder: Where requests keep their files.
    """

    def __init__(self, deployment: Answering, settings: Settings, folder: str) -> None:
        self._deployment = deployment
        self._max_body_bytes = settings.max_body_bytes
        self._max_upload_bytes = settings.max_upload_bytes
        self._folder = folder

    async def expect(self, request: web.Request) -> None:
        """Answer ``Expect: 100-continue``, but not for a body that ``begin`` refuses unsent."""
        with contextlib.suppress(TooLarge, Unavailable):
            self._check_size(request)
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the interim answer is not part of the final one

    def begin(self, request: web.Request) -> Call:
        """Return the call with all but its body, once the request's head is found acceptable.

        Raises:
            BadRequest: A header is malformed.
            TooLarge: The body is larger than is taken.
            Unavailable: The deployment takes no calls now.
            UnsupportedMedia: The body is compressed.
        """
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

    async def read(self, request: web.Request, call: Call) -> Uploads | None:
        """Read the body into the call. What comes back for a form holds its files, and is removed by the caller.

        Raises:
            BadRequest: It is a form that is not well-formed.
            NoSpace: The folder cannot take its files.
            TooLarge: The body is larger than is taken.
        """
        if call.content_type[:10].lower() == "multipart/":
            return await self._read_form(request, call)
        if call.content_type or request.body_exists:
            call.body = await request.read()
            if len(call.body) > self._max_body_bytes:  # it told no length, and another model may take more
                raise TooLarge(f"The body is larger than the {self._max_body_bytes} bytes that are accepted.")
        return None

    async def _read_form(self, request: web.Request, call: Call) -> Uploads:
        uploads = Uploads(self._folder, max_bytes=self._max_upload_bytes, max_text_bytes=self._max_body_bytes)
        try:
            await uploads.read(request)
        except BaseException:
            uploads.remove()
            raise
        call.form, call.files = uploads.form, uploads.files
        return uploads

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


def _seconds(text: str) -> float:
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not seconds:
        raise BadRequest(f"X-Timeout-S is {text[:40]!r}, but must be a number of seconds above 0, such as 2.5.")
    return seconds
