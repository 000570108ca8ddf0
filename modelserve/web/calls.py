"""Reads a request of a client into a Call: its head, and its body, of which only a form is taken apart.

    request -> begin: refused unread, or a Call without its body -> read -> the Call, its files in a private folder

Whatever runs a model does it so: a prediction now, one in the background, a training. It is part of the hot path.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Mapping

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy

from modelserve.access.roll import Roll
from modelserve.access.throttle import RateLimit
from modelserve.errors import BadRequest, TooLarge, Unavailable, UnsupportedMedia
from modelserve.file_threads import FileThreads
from modelserve.messages import Argument, Call
from modelserve.runtime.interface import Answering
from modelserve.settings import Settings
from modelserve.text import is_text, shown
from modelserve.web.connection import stalls_of
from modelserve.web.files import REMOVING
from modelserve.web.patience import patience
from modelserve.web.proxies import client_address
from modelserve.web.requests import REQUEST_ID, client_of, expect
from modelserve.web.rooms import Guest, Rooms
from modelserve.web.uploads import Uploads

__all__ = ["CallReader"]

# Headers by their names in lower case, as models read them.
_USER = "x-forwarded-user"
_AUTHORIZATION = "authorization"

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?", re.ASCII)


class CallReader:
    """Reads the requests for one deployment.

    Args:
        deployment: What the calls are for.
        settings: Of them the limits of bodies, of their time and of the rate, and whether the deployment is public.
        folder: Where requests keep their files.
        roll: Whom the server knows.
        rooms: What bodies and their files may take together.

    Attributes:
        rooms: The rooms that it was given, or such as the settings say.
        folder: The folder where requests keep their files.
    """

    def __init__(
        self,
        deployment: Answering,
        settings: Settings,
        folder: str,
        roll: Roll | None = None,
        rooms: Rooms | None = None,
    ) -> None:
        self.rooms = rooms or Rooms.of(settings)
        self._deployment = deployment
        self._roll = roll or Roll()
        self._is_public = settings.access == "public"
        self._limit = RateLimit(settings.rate_limit) if settings.rate_limit else None
        self._max_body_bytes = settings.max_body_bytes
        self._max_upload_bytes = settings.max_upload_bytes
        self._timeout_s = settings.body_timeout_s
        self.folder = folder

    async def expect(self, request: web.Request) -> None:
        """Answer ``Expect: 100-continue``, but not for a body that is refused unsent."""
        if not (self._roll.is_empty or self._is_public or hdrs.AUTHORIZATION in request.headers):
            return
        with contextlib.suppress(TooLarge, Unavailable):
            self._check_size(request)
            await expect(request)

    def begin(self, request: web.Request) -> Call:
        """Return the call with all but its body, once the request's head is found acceptable.

        Raises:
            BadRequest: A header is malformed.
            TooLarge: The body is larger than is taken.
            TooManyRequests: The client calls too often.
            Unavailable: The deployment takes no calls now.
            UnsupportedMedia: The body is compressed.
        """
        if self._limit is not None:
            self._limit.check(client_of(request).id or f"@{client_address(request)}")
        self._check_size(request)
        headers = request.headers
        if headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in ("", "identity"):
            raise UnsupportedMedia("Compressed request bodies are not accepted; send the body as it is.")
        call = Call(
            request_id=request[REQUEST_ID],
            query=request.rel_url.raw_query_string,
            content_type=headers.get(hdrs.CONTENT_TYPE, "") if request.body_exists else "",  # no body is of no type
            accept=_joined(headers, hdrs.ACCEPT),
        )
        if not (call.accept.isascii() and call.content_type.isascii() and call.query.isascii()):
            _check_texts({"Accept": call.accept, "Content-Type": call.content_type}, call.query)
        timeout = headers.get("X-Timeout-S")
        if timeout is not None:
            call.deadline = time.monotonic() + _seconds(timeout)
        description = self._deployment.description
        if not self._roll.is_empty:
            client = client_of(request)
            call.client, call.client_id = client.name, client.id
        if description is not None and description.headers:
            call.headers = self._read_headers(request, call.client, description.headers)
        return call

    async def read(self, request: web.Request, call: Call) -> Uploads | None:
        """Read the body into the call. What comes back for a form holds its files, and is removed by the caller.

        Raises:
            BadRequest: It is a form that is not well-formed.
            BodyTimeout: It has not arrived in time.
            NoSpace: The folder cannot take its files, or there is no room for it.
            TooLarge: The body is larger than is taken.
        """
        if call.content_type[:10].lower() == "multipart/":
            return await self._read_form(request, call)
        if call.content_type or request.body_exists:
            if request.content.is_eof():  # it came with its head, as most do
                call.body = await request.read()
            else:
                call.body = await self._read_body(request)
            if len(call.body) > self._max_body_bytes:  # it told no length
                raise TooLarge(f"The body is larger than the {self._max_body_bytes} bytes that are accepted.")
        return None

    async def _read_body(self, request: web.Request) -> bytes:
        """Return a body that comes bit by bit, and counts among all that do so until it is whole."""
        body, content = bytearray(), request.content
        async with patience(content, self._timeout_s, stalls_of(request)) as waiting:
            with self.rooms.receiving.guest(waiting.cut) as guest:
                while chunk := await content.readany():
                    body += chunk
                    if len(body) > self._max_body_bytes:
                        break
                    guest.move(len(chunk))
                    guest.hold(len(body))
        return bytes(body)

    def _read_headers(self, request: web.Request, client: str, names: Collection[str]) -> dict[str, str]:
        """Return those that the model reads: who calls as we know it, and no token."""
        headers = request.headers
        found = {name: _joined(headers, name) for name in names if name in headers and name != _USER}
        if client and _USER in names:
            found[_USER] = client
        if not self._roll.is_empty:
            found.pop(_AUTHORIZATION, None)
        _check_texts(found)
        return found

    async def _read_form(self, request: web.Request, call: Call) -> Uploads:
        uploads: Uploads | None = None
        try:
            async with patience(request.content, self._timeout_s, stalls_of(request)) as waiting:
                disk = self.rooms.files.guest(waiting.cut)
                with self.rooms.receiving.guest(waiting.cut) as memory:
                    uploads = self._uploads(memory, disk, request.app[REMOVING])
                    await uploads.read(request)
                disk.settle()
        except BaseException:
            if uploads is not None:
                uploads.remove()
            raise
        call.form, call.files = uploads.form, uploads.files
        return uploads

    def _uploads(self, memory: Guest, disk: Guest, removing: FileThreads) -> Uploads:
        description = self._deployment.description
        arguments = () if description is None else (*description.predict, *description.train)
        return Uploads(
            self.folder,
            max_bytes=self._max_upload_bytes,
            max_text_bytes=self._max_body_bytes,
            memory=memory,
            disk=disk,
            removing=removing,
            in_json={each.name for each in arguments if _may_be_json(each)},
        )

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


def _may_be_json(argument: Argument) -> bool:
    """Tell whether a part of a form in JSON may give an argument: for a text it is one, and for a file a file."""
    kinds = argument.schema.get("type")
    return argument.file is None and "string" not in (kinds if isinstance(kinds, list) else [kinds])


def _joined(headers: CIMultiDictProxy[str], name: str) -> str:
    """Return a header; one in several lines is a list: https://www.rfc-editor.org/rfc/rfc9110#section-5.3."""
    return ", ".join(headers.getall(name, ()))


def _check_texts(headers: Mapping[str, str], query: str = "") -> None:
    """Refuse what no worker could be told: a header is read as UTF-8, and any other byte of it as a lone surrogate."""
    for name, text in headers.items():
        if not is_text(text):
            raise BadRequest(f"The header {name} has bytes that are no UTF-8; send it in UTF-8.")
    if not is_text(query):
        raise BadRequest("The query has bytes that are no UTF-8; send it in UTF-8, percent-encoded.")


def _seconds(text: str) -> float:
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not seconds:
        raise BadRequest(f"X-Timeout-S is {shown(text[:40])!r}, but must be a number of seconds above 0, such as 2.5.")
    return seconds
