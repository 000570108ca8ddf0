"""How large the head of a request may be, and what becomes of one that is larger.

head of a request, its request line, headers and the line ends between -> over MAX_HEAD_BYTES   -> 431 and closed
                                                                      -> no room for it now    -> 503 and closed
"""

from __future__ import annotations

from aiohttp import EMPTY_PAYLOAD, StreamReader
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo

from modelserve.errors import HeadTooLarge, ModelserveError, NoSpace

__all__ = ["MAX_HEAD_BYTES", "Deaf", "Refusal", "head_bytes", "no_room", "too_large"]

# What stands among a connection's messages for one that is refused before there is a request.
Refusal = tuple[_ErrInfo, StreamReader]

# Between what servers take: 32 KiB of nginx (large_client_header_buffers) and 1 MiB of Go (DefaultMaxHeaderBytes).
MAX_HEAD_BYTES = 64 * 1024

TOO_LARGE = f"The head of the request is larger than {MAX_HEAD_BYTES // 1024} KiB; send fewer or shorter headers."


def head_bytes(message: RawRequestMessage) -> int:
    """Return how long a head was, in bytes."""
    request_line = len(message.method) + len(message.path) + len(" HTTP/1.1 \r\n\r\n")
    return request_line + sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)


def too_large() -> Refusal:
    """Return what refuses a head that is too large."""
    return _refusal(HeadTooLarge(TOO_LARGE))


def no_room() -> Refusal:
    """Return what refuses a head for which there is no room."""
    return _refusal(NoSpace("The server has no room for this request at the moment; come again."))


def _refusal(error: ModelserveError) -> Refusal:
    return _ErrInfo(status=error.status, exc=error, message=error.message), EMPTY_PAYLOAD


class Deaf:
    """Takes what still comes on a connection of which nothing more is read, in place of a parser."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Drop it."""
        return False, b""

    def feed_eof(self) -> None:
        """Be told that nothing more will come."""
