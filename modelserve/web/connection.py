"""One connection of a client: how long a head, or an answer, may take, and what is said to what is no HTTP.

    first byte of a head -> whole within header_timeout_s, or 408 and closed      nothing said at all -> closed
    a head that is larger than MAX_HEAD_BYTES -> 431 and closed         no room for it -> 503 and closed
    a client that reads nothing of an answer for stall_timeout_s -> closed, also where it was to be closed behind it
    bytes that are no request -> 400 in JSON, closed, and nothing of them in the answer or, above debug, in the log

    a chunked body that is malformed, or whose trailers are larger than a head may be -> 400 and closed
    a request behind a chunked body with trailers, or behind one to speak WebSocket -> not read, closed
    a request that came in one piece with one to speak any other protocol -> lost by aiohttp, closed

    nothing more will come, and a whole request waits for its answer -> answered, then closed

No more is read ahead than one request and what came with it, whatever a client sends behind a request that takes long.

aiohttp has one limit for heads and for idle connections, which has to be long for the latter. Some of its private
attributes are read here: ``_waiter`` is pending while a connection waits for a request, ``_request_count`` is how many
have come, ``_messages`` are those that wait for their turn, ``_current_request`` is the one that is answered,
``_buffer_paused`` is set while as many wait as may, ``_payload_parser`` takes what comes instead of the parser of HTTP,
``_upgraded`` is set once another protocol was asked for, and ``_force_close`` or ``_close`` is set once it is to be
closed, at once or behind an answer. Three are set: ``_max_msg_queue_size`` and ``_msg_queue_resume_size`` say how many
requests wait when reading stops, and goes on, and ``should_close`` in a request's ``_message`` whether its answer has
``Connection: close``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from modelserve.errors import BadRequest, ModelserveError
from modelserve.messages import Failure
from modelserve.metrics.connections import ConnectionMetrics
from modelserve.stalls import Mark, Stalls
from modelserve.web.chunks import Chunks
from modelserve.web.failures import UNEXPECTED, failure_response
from modelserve.web.half_closed import HalfClosed
from modelserve.web.heads import MAX_HEAD_BYTES, Deaf, Refusal, head_bytes, no_room, too_large
from modelserve.web.other_protocol import Asking
from modelserve.web.rooms import Guest, Rooms
from modelserve.web.slow_reader import SlowReader

__all__ = ["LINGER_S", "Connection", "Patience", "counted_as", "stall_timeout_s", "stalls_of"]

logger = logging.getLogger(__name__)

HEADER_TIMEOUT = "header_timeout"

# aiohttp can answer a request only, and there is none yet.
_TOO_SLOW = b"\r\n".join(
    (
        b"HTTP/1.1 408 Request Timeout",
        b"Content-Type: application/json",
        b"X-Content-Type-Options: nosniff",
        b"X-Request-ID: %b",
        b"Content-Length: %d",
        b"Connection: close",
        b"Server: modelserve",
        b"",
        b"",
    )
)
_LATE = b'{"message":"The head of the request has not arrived in time.","code":"header_timeout","request_id":"%b"}'

# Instead of the number of a request: no byte has come yet.
SILENT = -1

# Reading stops while so many requests wait for their turn, and goes on below.
MOST_WAITING = 2

# How long a client has to read that it was too slow, and a refusal before the rest of its request is not read on.
LINGER_S = 1.0

LINE_TOO_LONG = Failure(400, BadRequest.code, "A header, or the path with its query, is longer than 8,190 bytes.")
MALFORMED = Failure(400, BadRequest.code, "The request is malformed.")
BROKEN = "The body is malformed: its chunks are not as HTTP/1.1 has them."
TRAILERS = f"The body has chunks with trailers or extensions of more than {MAX_HEAD_BYTES // 1024} KiB; send less."


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a client may take; 0 is any time.

    ``header_timeout_s`` is for the whole head of a request, ``stall_timeout_s`` for reading any byte of an answer. What
    ``stalls`` tells of is not the client's.
    """

    header_timeout_s: float
    stall_timeout_s: float
    stalls: Stalls = dataclasses.field(default_factory=Stalls)


def stall_timeout_s(request: web.BaseRequest) -> float | None:
    """Return how long the client may take to read any byte of the answer, None for any time."""
    protocol = request.protocol
    return (protocol.patience.stall_timeout_s or None) if isinstance(protocol, Connection) else None


def stalls_of(request: web.BaseRequest) -> Stalls:
    """Return what tells how long the server stood still."""
    protocol = request.protocol
    return protocol.patience.stalls if isinstance(protocol, Connection) else Stalls()


@contextlib.contextmanager
def counted_as(request: web.BaseRequest, answer: Guest) -> Iterator[None]:
    """Have what waits for the client of a request be a part of its answer, which counts as a whole already."""
    protocol = request.protocol
    if not isinstance(protocol, Connection):
        yield
        return
    protocol.reader.count_as(answer)
    try:
        yield
    finally:
        protocol.reader.count_as(None)


class Connection(RequestHandler):
    """What aiohttp does with one connection, bounded.

    Args:
        manager: Whose requests these are.
        patience: How long the client may take.
        on_end: Called once it is over, if it ever began.
        rooms: Of heads that come, and of what waits to be read by clients.
        metrics: Where it is counted if it is turned away.
        options: aiohttp's own.
    """

    __slots__ = (
        "_awaited",
        "_chunks",
        "_half_closed",
        "_head",
        "_metrics",
        "_on_end",
        "_payload",
        "_rooms",
        "_timer",
        "patience",
        "reader",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        patience: Patience,
        on_end: Callable[[Connection], None],
        rooms: Rooms,
        metrics: ConnectionMetrics | None = None,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self.patience = patience
        self._on_end = on_end
        self._metrics = metrics or ConnectionMetrics()
        self._awaited = SILENT  # the number of the request whose head has begun last
        self._timer: asyncio.TimerHandle | None = None
        self._half_closed: HalfClosed | None = None
        self._rooms = rooms
        self.reader = SlowReader(rooms.sending, patience.stall_timeout_s, patience.stalls)
        self._head: Guest | None = None  # what has come of a head that is not whole
        self._payload: StreamReader = EMPTY_PAYLOAD  # the body of the request that has come last
        self._chunks: Chunks | Asking | None = None  # of that body, where some of it, or behind it, may be lost
        self._max_msg_queue_size, self._msg_queue_resume_size = MOST_WAITING, MOST_WAITING - 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._limit_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._half_closed is not None:
            self._half_closed.stop()
        if self._head is not None:
            self._head.close()
        self.reader.stop()
        self._payload = EMPTY_PAYLOAD
        super().connection_lost(exc)
        self._on_end(self)

    def idle_s(self) -> float:
        """Return for how long it has waited for a next request, 0 while it does anything else."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._head is not None or self._keepalive_handle is None:
            return 0.0
        return self._loop.time() - (self._next_keepalive_close_time - self._keepalive_timeout)

    @property
    def request(self) -> web.BaseRequest | None:
        """The request that is being answered."""
        return self._current_request

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's returns nothing, which closes
        """Keep the connection for the answers to what has come whole; nothing more will come.

        Over TLS that cannot be: the loop closes the connection whatever is said here.
        """
        if self._half_closed is None and self._owes_answers():
            assert self.transport is not None, "it has just received this"
            self._half_closed = HalfClosed(self.transport, self._may_send_interim)
            self._end_behind_last()
        return self._half_closed is not None

    def close(self) -> None:
        """Close the connection behind the answer that is due; where that has not begun, it says so to the client."""
        super().close()
        if self._current_request is not None:
            self._announce_end()
        elif self.transport is not None:  # perhaps its task has not begun; it does before what is called soon
            self._loop.call_soon(self._announce_end)

    def _announce_end(self) -> None:
        request = self._current_request
        if request is not None:
            request._message = request._message._replace(should_close=True)

    def _end_behind_last(self) -> None:
        """Close the connection behind the last answer that is due."""
        if self._messages:
            self.end_soon()
        else:
            self.close()  # once the one that is being answered is

    def end_soon(self) -> None:
        """Have the last answer that is due, if there is one, say that the connection is closed behind it."""
        if not self._messages:
            self._announce_end()
            return
        last, payload = self._messages[-1]
        if isinstance(last, RawRequestMessage):  # else it is malformed, and closes anyway
            self._messages[-1] = (last._replace(should_close=True), payload)

    def _owes_answers(self) -> bool:
        """Tell whether there is a request whose answer is due; one behind it that is cut off is dropped."""
        if self.ssl_context is not None or not self._request_count or self._force_close:
            return False
        is_answering = self._waiter is None
        if self._messages and not self._messages[-1][1].is_eof():
            if len(self._messages) == 1 and not is_answering:
                return False
            self._messages.pop()
        if self._messages or not is_answering:
            return bool(self._messages)
        if self._current_request is None:  # its task begins before what is called soon
            self._loop.call_soon(self._end_if_cut_off)
        return not self._is_cut_off()

    def _is_cut_off(self) -> bool:
        return self._current_request is not None and not self._current_request.content.is_eof()

    def _end_if_cut_off(self) -> None:
        if self._is_cut_off() and self.transport is not None:
            self.transport.close()

    def _may_send_interim(self) -> bool:
        request = self._current_request
        return request is not None and request.version >= HttpVersion11 and not request.writer.output_size

    def abort(self) -> None:
        """End it at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        count, was_whole = self._request_count, self._payload.is_eof()
        RequestHandler.data_received(self, data)  # a plain call: this is part of the hot path
        new = self._request_count - count
        if new == 1 and was_whole and self._head is None and 0 < len(data) <= MAX_HEAD_BYTES:
            message, self._payload = self._messages[-1]
            if not isinstance(message, RawRequestMessage) or message.chunked or message.upgrade:
                self._look_at(1, data)
        elif new:
            self._look_at(new, data)
        elif was_whole:
            if not data:  # a body was read, as for each call, and behind it nothing waits
                return
            self._add_to_head(len(data))
        elif self._chunks is not None:
            self._look_at_chunks(self._chunks, data)
        waiter = self._waiter
        if waiter is not None and self._awaited != self._request_count and not waiter.done():
            self._begin_head()

    def _add_to_head(self, size: int) -> None:
        """Count a part of a head that is not whole, which no answer of the server ends."""
        self._awaited = max(self._awaited, 0)  # the task that waits for the first one may not have begun
        if self._force_close or self._close or self._buffer_paused or self._payload_parser is not None:
            return
        if self._head is None:
            self._head = self._rooms.receiving.guest(self._give_up)
        has_room = self._head.take(size)
        self._head.move(size)
        if not has_room or self._head.size > MAX_HEAD_BYTES:
            self._head.close()
            self._refuse(too_large() if has_room else no_room())

    def _look_at(self, new: int, data: bytes) -> None:
        """Look at the last requests, some of which may not be plain; what follows such a one may stay unread.

        Where no data comes with them, the parser had kept them: they came behind a body that had to wait.
        """
        if self._head is not None:
            self._head.close()
            self._head = None
        for place in range(-new, 0):
            message, payload = self._messages[place]
            if not isinstance(message, RawRequestMessage):
                is_body = not self._payload.is_eof()
                if is_body:
                    self._break_body(BROKEN)
                self._end_before(place if is_body else place + 1)
                return
            if self._chunks is not None and not self._look_at_chunks(self._chunks, _before(message, data), place):
                return
            if head_bytes(message) > MAX_HEAD_BYTES:
                self._messages[place] = too_large()
                self._end_before(place + 1)
                return
            self._payload = payload
            self._chunks = _watched(message, is_unseen=not data)
        if self._chunks is not None:
            self._look_at_chunks(self._chunks, data)
        if self._upgraded:
            self._end_before(0)

    def _look_at_chunks(self, chunks: Chunks | Asking, data: bytes, place: int = 0) -> bool:
        """Look at a body in chunks, of which a piece has come; tell whether what follows it can be read.

        Args:
            chunks: What is known of its chunks.
            data: The piece.
            place: Of what follows it among the requests, counted from the end.
        """
        is_too_much = chunks.feed(data, self._payload.total_bytes)
        if self._payload.is_eof():
            self._chunks = None
            if chunks.may_have_trailers:
                self._end_before(place)
        elif is_too_much:
            self._break_body(TRAILERS)
            self._end_before(place)
        return self._payload_parser is None

    def _break_body(self, message: str) -> None:
        """Have who reads the body learn that no more of it comes."""
        self._payload.set_exception(BadRequest(message))
        self._payload.feed_eof()

    def _end_before(self, place: int) -> None:
        """Forget the requests from one on, counted from the end, and close the connection behind those before."""
        for _ in range(place, 0):
            self._messages.pop()
        self._end_behind_last()
        self._deafen()

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse a request whose head is not whole, in its turn."""
        self._messages.append(refusal)
        self._request_count += 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._deafen()

    def _deafen(self) -> None:
        """Read nothing more of what comes: the last answer closes the connection."""
        self._payload, self._chunks = EMPTY_PAYLOAD, None
        self._payload_parser = Deaf()
        self._message_tail = b""  # what came with a request for another protocol

    def _give_up(self) -> None:
        """Make way for heads and bodies that move: end the connection, behind the answers that are due."""
        if self._waiter is None or self.transport is None:
            self.close()
        else:
            self._refuse_slow(self.transport)

    def _refuse_slow(self, transport: asyncio.Transport) -> None:
        self._metrics.refused(HEADER_TIMEOUT).value += 1
        request_id = secrets.token_hex(8).encode()
        body = _LATE % request_id
        transport.write(_TOO_SLOW % (request_id, len(body)) + body)
        self.force_close()
        # Over TLS it would keep its place until the client has agreed to the end.
        self._loop.call_later(LINGER_S, transport.abort)

    def _begin_head(self) -> None:
        """Note that a head has begun. The time of the first one counts from the beginning of the connection."""
        self._awaited = self._request_count
        if self._awaited:
            self._limit_head()

    def _limit_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if limit_s := self.patience.header_timeout_s:
            self._timer = self._loop.call_later(limit_s, self._end_slow, limit_s, self.patience.stalls.mark())

    def _end_slow(self, limit_s: float, since: Mark) -> None:
        """Close the connection if that head, or the first byte of the first one, is still not here."""
        self._timer = None
        if owed_s := self.patience.stalls.owed_s(limit_s, since):
            self._timer = self._loop.call_later(owed_s, self._end_slow, owed_s, self.patience.stalls.mark())
            return
        if max(self._awaited, 0) != self._request_count or self._force_close or self.transport is None:
            return
        if self._awaited != SILENT:
            logger.debug(
                "a client took longer than %g seconds for the head of a request", self.patience.header_timeout_s
            )
            self._refuse_slow(self.transport)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self.reader.watch(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.reader.release()

    async def start(self) -> None:
        """Answer requests; when it is to be closed behind the last answer, see that the client reads that."""
        transport = self.transport
        try:
            await super().start()
        finally:
            if transport is not None and self._manager is not None:  # else it is closed
                self.reader.see_off(transport)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log a fault of the server, which the rest of a body is not that is malformed and that nobody reads."""
        if not isinstance(options.get("exc_info"), BadRequest):
            super().log_exception(*args, **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what no handler could: a request that is malformed, or a fault before or behind the handlers."""
        failure = LINE_TOO_LONG if isinstance(exc, LineTooLong) else MALFORMED if status < 500 else UNEXPECTED
        if isinstance(exc, ModelserveError):
            failure = Failure(exc.status, exc.code, exc.message, None, exc.log)
        elif failure is not UNEXPECTED:
            logger.debug("malformed request from %s: %s", request.remote, message)
        else:
            logger.error("a request could not be answered", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        self._metrics.refused(failure.code).value += 1
        request_id = secrets.token_hex(8)
        response = failure_response(failure, request_id)
        response.headers["X-Request-ID"] = request_id
        response.headers["Server"] = "modelserve"
        response.force_close()
        return response


def _watched(message: RawRequestMessage, *, is_unseen: bool) -> Chunks | Asking | None:
    """Return what watches the body of a request, and what comes behind it, where the parser may lose some of it."""
    if message.chunked or (message.upgrade and is_unseen):
        return Chunks(is_unseen=is_unseen or message.upgrade)
    return Asking() if message.upgrade else None


def _before(message: RawRequestMessage, data: bytes) -> bytes:
    """Return what came before a request, and perhaps more where its line stands in its own body too."""
    line = f"{message.method} {message.path} HTTP/".encode("utf-8", "surrogateescape")
    return data[: data.rfind(line)] if line in data else data
