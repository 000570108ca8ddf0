"""Messages as bytes of a stream and back; does no I/O.

    message --> encode --> buffers to send in order         bytes received --> Receiver --> messages

A frame is ``head length, number of bodies`` (two 32-bit big-endian numbers), for each body ``position, length`` (the
same), the head, and the bodies. The head is one message in msgpack; nothing that arrives is ever unpickled. A body over
``INLINE_BYTES`` is not in the head: it is sent from the object that holds it and received into the one that keeps it,
so that Python copies it on neither side. ``position`` is that of the call or answer in the message's list.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from modelserve.buffers import new_buffer
from modelserve.messages import (
    Answers,
    Calls,
    Cancel,
    Check,
    Checked,
    Failed,
    FolderGone,
    More,
    Part,
    Ready,
    Scrape,
    Scraped,
    Stage,
)

__all__ = [
    "FRAME_LIMIT_BYTES",
    "HEAD_LIMIT_BYTES",
    "INLINE_BYTES",
    "START_LIMIT_BYTES",
    "Body",
    "Bounds",
    "FrameError",
    "Receiver",
    "encode",
]

Body = bytes | bytearray | memoryview
Message = TypeVar("Message")

INLINE_BYTES = 65_536
"""Larger bodies follow the head of their frame."""

FRAME_LIMIT_BYTES = 0xFFFF_FFFF
"""Most that a frame may hold: head and bodies together."""

HEAD_LIMIT_BYTES = 2 * 1024 * 1024
"""Most that the head of a frame from a worker may be: its answers but for their large bodies.

Small things in a head take up to 74 times their bytes in memory: 1.2 GiB and 1.6 s of one of 16 MiB, 150 MiB and 0.15 s
of one of 2 MiB (empty lists in msgpack, decoded on CPython 3.11).
"""

START_LIMIT_BYTES = 5 * 1024 * 1024
"""The same of a worker that starts: its description, of which up to 4 MiB of JSON are taken; see describing.py."""

RECEIVE_BYTES = 65_536
"""Size of a receiver's own buffer; frames within it are cut without being copied first."""

MAX_BODIES = 4_096
"""Most bodies that follow one head, so that their table always fits into the buffer; more stay in the head."""

_PAIR = struct.Struct("!II")
_encoder = msgspec.msgpack.Encoder()


class FrameError(ValueError):
    """What was received is no frame: a length is over the limit, or the head is no message of the kinds expected."""


class Bounds(NamedTuple):
    """What a frame may be: how large its head, how many bodies may follow it, and how large each of them."""

    head_bytes: int = FRAME_LIMIT_BYTES
    bodies: int = MAX_BODIES
    body_bytes: int = FRAME_LIMIT_BYTES


ANY = Bounds()


def encode(
    message: Calls
    | Cancel
    | More
    | Check
    | Scrape
    | Ready
    | Failed
    | Answers
    | Part
    | Stage
    | Checked
    | Scraped
    | FolderGone,
    head_limit_bytes: int = FRAME_LIMIT_BYTES,
) -> list[Body]:
    """Return the frame of one message as buffers to be sent in order; large bodies are the message's own objects.

    Raises:
        OverflowError: The frame is over ``FRAME_LIMIT_BYTES``, or its head over ``head_limit_bytes``.
        UnicodeEncodeError: A text of the message has lone surrogates.
    """
    if _has_large(message):
        return _encode_split(message, head_limit_bytes)
    payload = _encoder.encode(message)
    _check_sendable(len(payload), 0, head_limit_bytes)
    return [_PAIR.pack(len(payload), 0) + payload]


class Receiver(Generic[Message]):
    """Turns received bytes into messages. Read into ``buffer()``, then say with ``received()`` how many bytes came.

    Args:
        decode: ``decode_server_bound`` or ``decode_worker_bound`` of messages.py.
        bounds: Asked, for a frame that does not fit into the buffer, what it may be. Memory is allocated for none that
            says it is larger, and for each body only when it begins to come.
    """

    def __init__(self, decode: Callable[[Any], Message], bounds: Callable[[], Bounds] = lambda: ANY) -> None:
        self._decode = decode
        self._bounds = bounds
        self._view = memoryview(bytearray(RECEIVE_BYTES))
        self._end = 0
        self._split: _Split | None = None

    def buffer(self) -> memoryview:
        """Return where the next bytes are to be read into, never empty; valid until the next ``received``."""
        return self._view[self._end :] if self._split is None else self._split.rest()

    def received(self, count: int) -> list[Message]:
        """Return the messages that the ``count`` bytes read into the buffer complete, in order.

        A body over ``INLINE_BYTES`` is a bytearray, any other bytes.

        Raises:
            FrameError: The bytes are no frame. Nothing sensible can follow.
        """
        if self._split is None:
            self._end += count
            return self._cut()
        self._split.filled(count)
        return self._finished() if self._split.is_whole else []

    def _cut(self) -> list[Message]:
        view, start, end = self._view, 0, self._end
        messages: list[Message] = []
        while end - start >= _PAIR.size:
            head_bytes, bodies = _PAIR.unpack_from(view, start)
            if bodies or head_bytes > RECEIVE_BYTES - _PAIR.size:
                taken = self._begin_split(view[start:end], head_bytes, bodies)
                start += taken
                if not taken or not self._is_split_whole():
                    break
                messages += self._finished()
                continue
            stop = start + _PAIR.size + head_bytes
            if stop > end:
                break
            messages.append(self._decoded(view[start + _PAIR.size : stop]))
            start = stop
        if start:
            view[: end - start] = view[start:end]
        self._end = end - start
        return messages

    def _is_split_whole(self) -> bool:
        return self._split is not None and self._split.is_whole

    def _begin_split(self, data: memoryview, head_bytes: int, bodies: int) -> int:
        """Start a frame that gets buffers of its own; return how much of ``data`` is taken, 0 while its table lacks."""
        bounds = self._bounds()
        if head_bytes > bounds.head_bytes:
            raise FrameError(f"a frame says its head has {head_bytes} bytes; at most {bounds.head_bytes} are taken")
        if bodies > min(MAX_BODIES, bounds.bodies):
            most = min(MAX_BODIES, bounds.bodies)
            raise FrameError(f"a frame says it has {bodies} bodies; at most {most} may follow its head")
        start = _PAIR.size * (1 + bodies)
        if len(data) < start:
            return 0
        table = list(_PAIR.iter_unpack(data[_PAIR.size : start]))
        for _, length in table:
            if not INLINE_BYTES < length <= bounds.body_bytes:
                right = f"more than {INLINE_BYTES} and at most {bounds.body_bytes}"
                raise FrameError(f"a frame says that a body has {length} bytes; it has {right}")
        self._split = _Split(head_bytes, table)
        return start + self._split.take(data[start:])

    def _finished(self) -> list[Message]:
        split, self._split = self._split, None
        assert split is not None
        message = self._decoded(split.head)
        items, name = _items(message), _BODY_NAMES.get(type(message), "")
        for (position, _), body in zip(split.table, split.bodies, strict=True):
            if position >= len(items):
                raise FrameError(f"a frame has a body for item {position}, and {len(items)} items")
            setattr(items[position], name, body)
        return [message]

    def _decoded(self, head: memoryview | bytearray) -> Message:
        try:
            return self._decode(head)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise FrameError(f"the head of a frame is no message that is expected here: {error}") from error


class _Split:
    """A frame that is received piece by piece: its head, then its bodies, each into a buffer of its own.

    A buffer is made when the one before it is full: who only says that much comes takes none of the memory for it.
    """

    def __init__(self, head_bytes: int, table: list[tuple[int, int]]) -> None:
        self.table = table
        self.head = bytearray(head_bytes)
        self.bodies: list[bytearray] = []
        self._to_come = deque(length for _, length in table)
        self._piece = memoryview(self.head)
        self._advance()

    @property
    def is_whole(self) -> bool:
        return not self._piece

    def rest(self) -> memoryview:
        return self._piece

    def filled(self, count: int) -> None:
        self._piece = self._piece[count:]
        self._advance()

    def _advance(self) -> None:
        if not self._piece and self._to_come:  # no body is empty
            self.bodies.append(new_buffer(self._to_come.popleft()))
            self._piece = memoryview(self.bodies[-1])

    def take(self, data: memoryview) -> int:
        """Copy what ``data`` holds of this frame; return how many bytes."""
        taken = 0
        while self._piece and taken < len(data):
            count = min(len(self._piece), len(data) - taken)
            self._piece[:count] = data[taken : taken + count]
            self.filled(count)
            taken += count
        return taken


# In which attribute a message's items hold their bodies; the items of a Part are itself.
_BODY_NAMES: dict[type, str] = {Calls: "body", Answers: "body", Check: "body", Checked: "body", Part: "data"}


def _items(message: Any) -> list[Any]:
    kind = type(message)
    if kind is Calls:
        return message.calls  # type: ignore[no-any-return]
    if kind is Answers:
        return message.answers  # type: ignore[no-any-return]
    if kind is Check:
        return [message.call]
    if kind is Checked:
        return [message.answer]
    return [message] if kind is Part else []


def _has_large(message: Any) -> bool:
    kind = type(message)
    if kind is Part:
        return len(message.data) > INLINE_BYTES
    # A plain loop: any() with a generator would cost more than all the rest for the usual frame of one call.
    for item in _items(message):  # noqa: SIM110
        if len(item.body) > INLINE_BYTES:
            return True
    return False


def _encode_split(message: Any, head_limit_bytes: int) -> list[Body]:
    items, name = _items(message), _BODY_NAMES[type(message)]
    positions = [place for place, item in enumerate(items) if len(getattr(item, name)) > INLINE_BYTES][:MAX_BODIES]
    bodies: list[Body] = [getattr(items[position], name) for position in positions]
    table = b"".join(_PAIR.pack(position, len(body)) for position, body in zip(positions, bodies, strict=True))
    try:
        for position in positions:
            setattr(items[position], name, b"")
        head = _encoder.encode(message)
    finally:  # the message is its owner's: a call that must be sent once more still has its body
        for position, body in zip(positions, bodies, strict=True):
            setattr(items[position], name, body)
    _check_sendable(len(head), sum(map(len, bodies)), head_limit_bytes)
    return [_PAIR.pack(len(head), len(bodies)) + table + head, *bodies]


def _check_sendable(head_bytes: int, bodies_bytes: int, head_limit_bytes: int) -> None:
    if head_bytes > head_limit_bytes:
        raise OverflowError(f"a message is {head_bytes} bytes without its large bodies, over {head_limit_bytes}")
    if head_bytes + bodies_bytes > FRAME_LIMIT_BYTES:
        raise OverflowError("a message of 4 GiB or more cannot be framed")
