"""What a generator yields, as the parts of a streamed answer.

    items --> Streams.of(...) --> Stream: the Answer that begins it, then a Part for each item, then the last Part

The form follows from the Accept header: ``text/event-stream`` gives one event ``data: JSON`` for each item,
``application/x-ndjson`` and ``application/jsonl`` one line of JSON, ``application/json`` one array of all items. Any
other media type gives chunks: bytes and text as they are, anything else as a line of JSON. Without a preference, a
model that declares no media types of its own streams events, and ``application/octet-stream`` where its first item is
bytes.
"""

from __future__ import annotations

from typing import Any

from modelserve.errors import BadAnswer, NotAcceptable
from modelserve.messages import Answer, Failure, Part
from modelserve.v2.answers import Renderer
from modelserve.v2.batches import Parsed
from modelserve.v2.failures import failure_of
from modelserve.v2.guard import Guard
from modelserve.v2.negotiation import choose, is_fitting, nothing_fits
from modelserve.v2.plain import NanRule, NotJsonError, dump
from modelserve.v2.raw import OCTETS

__all__ = ["Stream", "Streams", "offered"]

EVENTS = "text/event-stream"
LINES = ("application/x-ndjson", "application/jsonl")
TEXT = "text/plain"

_JSON = "application/json"
_BYTES = (bytes, bytearray, memoryview)


def offered(media_types: tuple[str, ...]) -> tuple[str, ...]:
    """Return the media types in which a model that declares these can stream, the default first."""
    if media_types == (_JSON,):
        return (EVENTS, *LINES, _JSON, OCTETS, TEXT)
    return (*media_types, *(each for each in (EVENTS, *LINES) if each not in media_types))


class Streams:
    """Makes the streams of one model.

    Args:
        renderer: Its renderer, whose schema each item is validated against.
        media_types: What it declares to answer with, the default first.
        nan: Whether NaN and infinity are errors or null.
        max_bytes: Most that an item may be as it is sent.
        guard: What the model raises in mid-stream goes to it.
    """

    def __init__(
        self, renderer: Renderer, media_types: tuple[str, ...], nan: NanRule, *, max_bytes: int, guard: Guard
    ) -> None:
        self._renderer = renderer
        self._guard = guard
        self.max_bytes = max_bytes
        self._offered = offered(media_types)
        self._declared = media_types
        self._nan = nan

    def left_to_the_model(self, accept: str) -> str:
        """Return the Accept header as the model's own negotiation is to see it: "" where it asks for a form of ours.

        Raises:
            NotAcceptable: The header names nothing in which the model can stream.
        """
        return accept if choose(accept, self._offered) in self._declared else ""

    def are_all_that_fits(self, accept: str) -> bool:
        """Tell whether the Accept header names a form that only a stream has, and nothing that the model declares."""
        return not is_fitting(accept, self._declared) and is_fitting(accept, self._offered)

    def refusal(self) -> NotAcceptable:
        """Return the error of a call that asks for a stream, where what the model returned is none."""
        return nothing_fits(self._declared)

    def of(self, item: Parsed, items: Any, first: list[Any]) -> Stream:
        """Return the stream that answers a call.

        Args:
            item: The call.
            items: What has the items; it is the stream's to close.
            first: The first item, which is known, or nothing for a stream that is known to be empty.

        Raises:
            NotAcceptable: The items are bytes, and the Accept header names only what bytes cannot be.
            BadAnswer: The first item cannot be sent.
        """
        chosen = self._chosen(item.accept, item.media_type, bool(first) and isinstance(first[0], _BYTES))
        chosen = self._renderer.type_of(first[0] if first else b"", chosen)
        stream = Stream(item.id, items, first, chosen, self)
        stream.render_first()
        return stream

    def failure_of(self, error: BaseException) -> Failure:
        """Return what the client and the log may know of an error in mid-stream."""
        self._guard.look_at(error)
        return failure_of(error)

    def json(self, item: Any) -> bytes:
        """Return an item's JSON, on one line, validated where there is a schema.

        Raises:
            BadAnswer: It does not fit the schema or is no JSON.
        """
        if isinstance(item, _BYTES):
            raise BadAnswer("An item of the model's answer cannot be written as JSON.", log="an item is bytes")
        if self._renderer.schema is not None:
            return bytes(self._renderer.render(0, item, _JSON).body)
        try:
            return dump(item, self._nan)
        except NotJsonError as error:
            raise BadAnswer("An item of the model's answer cannot be written as JSON.", log=str(error)) from error

    def _chosen(self, accept: str, media_type: str, is_bytes: bool) -> str:
        if is_bytes and media_type == _JSON:
            return choose(accept, (OCTETS, TEXT))
        if not is_fitting(accept, self._offered):  # the client named its choice in the model's own argument
            return media_type
        choice = choose(accept, self._offered)
        return media_type if choice in self._declared else choice


class Stream:
    """One streamed answer in the making; renders and does no I/O.

    Attributes:
        answer: What is sent first.
        items: What has the items, as :mod:`modelserve.v2.returned` gives it, sync or async.
    """

    def __init__(self, call_id: int, items: Any, first: list[Any], media_type: str, streams: Streams) -> None:
        self._id = call_id
        self._first = first
        self._begun: list[Part] = []
        self._media_type = media_type
        self._streams = streams
        self.items = items
        is_chunks = bool(first) and isinstance(first[0], (str, *_BYTES))
        essence = media_type.partition(";")[0].strip().lower()
        # Of another JSON type, a model that yields text or bytes writes the document itself.
        self._is_array = essence == _JSON or (essence.endswith("+json") and not is_chunks)
        self._count = 0
        self.answer = Answer(call_id, f"{TEXT}; charset=utf-8" if media_type == TEXT else media_type, stream=True)

    def render_first(self) -> None:
        """Render the item that is known, while the status can still say that it cannot be sent.

        Raises:
            BadAnswer: It cannot.
        """
        self._begun = [self._part(item) for item in self._first]

    def next_part(self) -> Part:
        """Return the next part, or the last one, once the model's generator has given the item for it; never raises."""
        try:
            return self._begun.pop() if self._begun else self._part(next(self.items))
        except StopIteration:
            return self._end()
        except BaseException as error:  # the border to the model
            return self.broken(error)

    async def next_part_async(self) -> Part:
        """Return what :meth:`next_part` returns, of an asynchronous generator.

        Raises:
            BaseException: What the model raised, or that the task is cancelled; only the caller can tell them apart.
        """
        try:
            return self._begun.pop() if self._begun else self._part(await anext(self.items))
        except StopAsyncIteration:
            return self._end()

    def broken(self, error: BaseException) -> Part:
        """Return the last part of a stream that ends uncleanly; in events, the client can read the failure."""
        failure, data = self._streams.failure_of(error), b""
        if self._media_type == EVENTS:
            data = b"event: error\ndata: %b\n\n" % dump({"message": failure.message, "code": failure.code})
        return Part(self._id, data, last=True, failure=failure)

    def _part(self, item: Any) -> Part:
        data = self._rendered(item)
        if len(data) > self._streams.max_bytes:
            log = f"it is {len(data)} bytes, and max_answer_bytes is {self._streams.max_bytes}; yield smaller ones"
            raise BadAnswer("An item of the model's answer is larger than this service sends.", log=log)
        return Part(self._id, data)

    def _end(self) -> Part:
        return Part(self._id, (b"]" if self._count else b"[]") if self._is_array else b"", last=True)

    def _rendered(self, item: Any) -> bytes:
        if self._is_array:
            self._count += 1
            return (b"[" if self._count == 1 else b",") + self._streams.json(item)
        if self._media_type == EVENTS:
            return b"data: %b\n\n" % self._streams.json(item)
        if self._media_type not in LINES:
            if isinstance(item, _BYTES):
                return bytes(item)
            if isinstance(item, str):
                return item.encode()
        return self._streams.json(item) + b"\n"
