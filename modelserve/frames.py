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
from typing import Any, Generic, TypeVar

import msgspec

from modelserve.buffers import new_buffer
from modelserve.messages import (
    Answers,
    Calls,
    Cancel,
    Check,
    Checked,
    Failed,
    More,
    Part,
    Ready,
    Scrape,
    Scraped,
    Stage,
)

__all__ = ["FRAME_LIMIT_BYTES", "INLINE_BYTES", "Body", "FrameError", "Receiver", "encode"]

Body = bytes | bytearray | memoryview
Message = TypeVar("Message")

INLINE_BYTES = 65_536
"""Larger bodies follow the head of their frame."""

FRAME_LIMIT_BYTES = 0xFFFF_FFFF
"""Most that a frame may hold: head and bodies together."""

RECEIVE_BYTES = 65_536
"""Size of a receiver's own buffer; frames within it are cut without being copied first."""

MAX_BODIES = 4_096
"""Most bodies that follow one head, so that their table always fits into the buffer; more stay in the head."""

_PAIR = struct.Struct("!II")
_encoder = msgspec.msgpack.Encoder()


class FrameError(ValueError):
    """What was received is no frame: a length is over the limit, or the head is no message of the kinds expected."""


def encode(
    message: Calls | Cancel | More | Check | Scrape | Ready | Failed | Answers | Part | Stage | Checked | Scraped,
) -> list[Body]:
    """Return the frame of one message as buffers to be sent in order; large bodies are the message's own objects.

    Raises:
        OverflowError: The frame is over ``FRAME_LIMIT_BYTES``.
    """
    if _has_large(message):
        return _encode_split(message)
    payload = _encoder.encode(message)
    _check_sendable(len(payload))
    return [_PAIR.pack(len(payload), 0) + payload]


class Receiver(Generic[Message]):
    """Turns received bytes into messages. Read into ``buffer()``, then say with ``received()`` how many bytes came.

    Args:
        decode: ``decode_server_bound`` or ``decode_worker_bound`` of messages.py.
        limit_bytes: Largest frame that is taken; memory is allocated for none that says it is larger.
    """

    def __init__(self, decode: Callable[[Any], Message], limit_bytes: int = FRAME_LIMIT_BYTES) -> None:
        self._decode = decode
        self._limit_bytes = limit_bytes
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
        if bodies > MAX_BODIES:
            raise FrameError(f"a frame says it has {bodies} bodies; at most {MAX_BODIES} may follow a head")
        start = _PAIR.size * (1 + bodies)
        if len(data) < start:
            return 0
        table = list(_PAIR.iter_unpack(data[_PAIR.size : start]))
        size = head_bytes + sum(length for _, length in table)
        if size > self._limit_bytes:
            raise FrameError(f"a frame says it has {size} bytes; at most {self._limit_bytes} are taken")
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
        except msgspec.MsgspecError as error:
            raise FrameError(f"the head of a frame is no message that is expected here: {error}") from error


class _Split:
    """A frame that is received piece by piece: its head, then its bodies, each into a buffer of its own."""

    def __init__(self, head_bytes: int, table: list[tuple[int, int]]) -> None:
        self.table = table
        self.head = bytearray(head_bytes)
        self.bodies = [new_buffer(length) for _, length in table]
        self._rest = deque(memoryview(piece) for piece in (self.head, *self.bodies) if piece)

    @property
    def is_whole(self) -> bool:
        return not self._rest

    def rest(self) -> memoryview:
        return self._rest[0]

    def filled(self, count: int) -> None:
        piece = self._rest.popleft()
        if count < len(piece):
            self._rest.appendleft(piece[count:])

    def take(self, data: memoryview) -> int:
        """Copy what ``data`` holds of this frame; return how many bytes."""
        taken = 0
        while self._rest and taken < len(data):
            count = min(len(self._rest[0]), len(data) - taken)
            self._rest[0][:count] = data[taken : taken + count]
            self.filled(count)
            taken += count
        return taken


# In which attribute a message's items hold their bodies; the items of a Part are itself.
_BODY_NAMES: dict[type, str] = {Calls: "body", Answers: "body", Part: "data"}


def _items(message: Any) -> list[Any]:
    kind = type(message)
    if kind is Calls:
        return message.calls  # type: ignore[no-any-return]
    if kind is Answers:
        return message.answers  # type: ignore[no-any-return]
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


def _encode_split(message: Any) -> list[Body]:
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
    _check_sendable(len(head) + sum(map(len, bodies)))
    return [_PAIR.pack(len(head), len(bodies)) + table + head, *bodies]


def _check_sendable(size: int) -> None:
    if size > FRAME_LIMIT_BYTES:
        raise OverflowError("a message of 4 GiB or more cannot be framed")
