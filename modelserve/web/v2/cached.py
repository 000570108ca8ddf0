"""The predict route of a deployment with a cache: it lets a client skip the cache, and says where an answer is from.

    X-Cache: hit, Age: SECONDS      the model did not run for this call
    X-Cache: miss                   it did

A file or a stream has neither: it is never kept.
"""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy

from modelserve.messages import Answer, Call
from modelserve.runtime.fleet import Cache, FromCache
from modelserve.web.calls import CallReader
from modelserve.web.direct import DirectResponse, header_lines, is_direct
from modelserve.web.large import LARGE_BYTES
from modelserve.web.responses import answer_headers, bytes_response
from modelserve.web.timing import TimedCache
from modelserve.web.v2.predict import Later, Predict, discard_late

__all__ = ["CachedPredict", "skips_cache"]

# What a client says that wants no answer but a new one: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1
SKIPPING = {"no-cache", "no-store"}


class CachedPredict(Predict):
    """The predict route of one deployment with a cache.

    Args:
        cache: What answers the calls.
        calls: Reads them.
        later: Answers a client that would rather not wait.
    """

    def __init__(self, cache: Cache | TimedCache, calls: CallReader, *, later: Later | None = None) -> None:
        super().__init__(cache, calls, later=later)
        self._cache = cache

    async def _run(self, request: web.Request, call: Call) -> web.StreamResponse:
        skips = skips_cache(request.headers)
        future = self._cache.deployment.call(call) if skips else self._cache.call(call)
        try:
            answer = await future
        except asyncio.CancelledError:
            discard_late(future)
            raise
        if answer.failure is not None or answer.stream or answer.file is not None:
            response = await self._send_unusual(request, call, answer)
        elif len(answer.body) >= LARGE_BYTES:
            return await self._large.send(request, answer, call.request_id, _told(answer), is_own=False)
        elif is_direct(request):
            lines = header_lines({**answer_headers(answer), **_told(answer)})
            return await DirectResponse(request).send(answer.body, call.request_id, lines)
        else:
            response = bytes_response(answer)
        if not response.prepared:
            response.headers.update(_told(answer))
        return response


def skips_cache(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether a client wants an answer that was made for it."""
    if hdrs.CACHE_CONTROL not in headers:
        return False
    directives = ",".join(headers.getall(hdrs.CACHE_CONTROL)).split(",")
    return any(directive.partition("=")[0].strip().lower() in SKIPPING for directive in directives)


def _told(answer: Answer) -> dict[str, str]:
    """Return the headers that say where an answer is from."""
    if isinstance(answer, FromCache):
        return {"X-Cache": "hit", "Age": str(int(answer.age_s))}
    return {"X-Cache": "miss"}
