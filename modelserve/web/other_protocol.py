"""Finds what is lost behind a request to speak another protocol, such as HTTP/2 (``Upgrade: h2c``).

aiohttp's parser takes the end of such a request for the end of HTTP. It goes on with the next piece that comes, but
drops what came with the end in one piece: whole requests, or the beginning of one whose rest would look like another.
"""

from __future__ import annotations

__all__ = ["Asking"]


class Asking:
    """Such a request with its body, watched as :class:`modelserve.web.chunks.Chunks` are.

    Attributes:
        may_have_trailers: Whether more than its body has come behind its head.
    """

    __slots__ = ("_behind", "may_have_trailers")

    def __init__(self) -> None:
        self.may_have_trailers = False
        self._behind: int | None = None

    def feed(self, data: bytes, body_bytes: int) -> bool:
        """Take a piece of what comes, the first with the end of its head; it is never too much, as chunks can be.

        Args:
            data: The piece.
            body_bytes: How much of the body has come with it, and before.
        """
        if self._behind is None:
            self._behind = len(data[data.find(b"\r\n\r\n") + 4 :])
        else:
            self._behind += len(data)
        self.may_have_trailers = self._behind > body_bytes
        return False
