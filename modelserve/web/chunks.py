"""Watches what stands between and behind the chunks of a body: whether there may be trailers, and how much it is.

    2\\r\\n{}\\r\\n0\\r\\n -> \\r\\n: nothing behind the last chunk       -> Name: value\\r\\n\\r\\n: trailers

aiohttp keeps the last trailer, and takes it for a header of the next request on the connection. Nobody here reads
trailers, so a connection on which some may have come takes no further request. A line of a body can look like the last
chunk of one; the connection closes for nothing then, behind the answer.
"""

from __future__ import annotations

import re

from modelserve.web.heads import MAX_HEAD_BYTES

__all__ = ["Chunks"]

# The line of the last chunk, which is of no bytes, from the end of the line before; it may have extensions.
_LAST = re.compile(rb"\n0+(?![0-9A-Fa-f])[^\n]*\n")


class Chunks:
    """The chunks of one body.

    Args:
        is_unseen: Whether some have come that are not fed.

    Attributes:
        may_have_trailers: Whether something stands behind what may be the last chunk.
    """

    __slots__ = ("_between", "_body_bytes", "_line", "may_have_trailers")

    def __init__(self, *, is_unseen: bool = False) -> None:
        self.may_have_trailers = is_unseen
        self._line = b"\n"
        self._body_bytes = 0
        self._between = 0

    def feed(self, data: bytes, body_bytes: int) -> bool:
        """Take a piece of what comes; tell whether far more stands between and behind the chunks than anybody needs.

        Args:
            data: The piece, perhaps with the head before the body.
            body_bytes: How much of the body has come with it, and before.
        """
        self._look_for_trailers(self._line + data)
        self._between = self._between + len(data) if body_bytes == self._body_bytes else 0
        self._body_bytes = body_bytes
        return self._between > MAX_HEAD_BYTES

    def _look_for_trailers(self, data: bytes) -> None:
        """Look behind each line that may be the last chunk's; keep one whose end, or what is behind it, lacks."""
        for last in _LAST.finditer(data):
            if last.end() == len(data):
                self._line = last[0]
                return
            if data[last.end()] != 13:
                self.may_have_trailers = True
        line = data[data.rfind(b"\n") :]
        self._line = line if line == b"\n" or line.startswith(b"\n0") else b""
        if len(self._line) > MAX_HEAD_BYTES:
            self.may_have_trailers, self._line = True, b""
