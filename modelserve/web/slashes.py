"""Sends a path with several slashes in a row to the one with single slashes, as DEEPaaS does.

Clients that join a base address with a slash at its end to a path ask so. The redirect keeps method and body.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from aiohttp import web

from modelserve.web.proxies import prefix_of

__all__ = ["SEVERAL", "to_single"]

# The routes that have several slashes in a row; none of ours does.
SEVERAL = "/{path:.*//.*|/.*}"

# What may stand in a path as it is, RFC 3986, 3.3; what is quoted already stays.
_UNQUOTED = "/%:@!$&'()*+,;=-._~"


async def to_single(request: web.Request) -> web.Response:
    """Answer with 308 and the path that is meant, whether there is something or not; always one of this server."""
    # Browsers take a backslash for a slash, and what begins with two slashes for another host.
    path = quote(re.sub("/{2,}", "/", request.rel_url.raw_path), safe=_UNQUOTED)
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return web.Response(status=308, headers={"Location": f"{prefix_of(request)}{path}{query}"})
