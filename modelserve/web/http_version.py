"""Which versions of HTTP are spoken: 1.1 and 1.0, and whatever else a request says is answered in one of them.

aiohttp lets two more pass: a request line that names no version is HTTP/0.9 to it, and "HTTP/2.0" in words is 2.0. It
answers in the version that it was asked in, which no client could read: there is no head in HTTP/0.9.
"""

from __future__ import annotations

from aiohttp import HttpVersion10, HttpVersion11, web

from modelserve.errors import BadRequest

__all__ = ["require_version"]

SPOKEN = (HttpVersion11, HttpVersion10)


def require_version(request: web.BaseRequest) -> None:
    """Check the version of a request.

    Raises:
        BadRequest: It is not spoken here. The response to it is in HTTP/1.0, which any client can read to its end.
    """
    if request.version in SPOKEN:
        return
    # Where aiohttp keeps what it has read of a request; it offers no other way to answer in another version.
    request._cache["version"] = HttpVersion10
    raise BadRequest("The version of HTTP is not spoken here: use HTTP/1.1 or HTTP/1.0.")
