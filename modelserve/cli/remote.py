"""Requests to a server over HTTP, and what goes wrong with them in sentences.

Remote(url).ask("GET", "/v2/models/") -> Response, read and closed by the caller
                                      -> Unreachable, Reported, InvalidArguments
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from modelserve.cli.token import TOKEN_VARIABLE
from modelserve.errors import InvalidArguments, ModelserveError, Reported

__all__ = ["Remote", "Unreachable"]

CONNECT_S = 10.0

# A server whose event loop turns sends something at least every 15 seconds, if only a comment.
SILENCE_S = 60.0


# What a 422 has beside the names of arguments.
_OF_EVERY_ERROR = ("message", "code", "request_id")

TOKEN_HINT = f" Give one by --token-file FILE or by {TOKEN_VARIABLE} in the environment."


class Unreachable(ModelserveError):
    """No server answers at the address, or the connection broke before it had answered."""

    status = 503
    code = "unreachable"


class Remote:
    """One server, as an async context.

    Args:
        url: Its address with its base path, without a slash at its end.
        token: What it is sent, "" for none. It takes the place of a name and password in the address.
        silence_s: How long it may send nothing before it counts as gone.
    """

    def __init__(self, url: str, *, token: str = "", silence_s: float = SILENCE_S) -> None:
        parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._silence_s = silence_s
        self.shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # never with a password
        self._url = self.shown if token else url
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Remote:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._silence_s)
        # A connection for each request: aiohttp repeats requests by itself only on one that was used before.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | str = "",
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Any] = lambda: None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and yield its answer, once its status is known to be a good one.

        Args:
            path: Below the address, quoted.
            query: By name, or as it is sent.
            headers: Besides what aiohttp sends.
            body: Makes what is sent.

        Raises:
            InvalidArguments: The server answered 422.
            Reported: It answered with another error; the message is the server's.
            Unreachable: It did not answer, or not to the end; inside the block too.
        """
        text = query if isinstance(query, str) else urlencode({k: v for k, v in query.items() if v not in (None, "")})
        url = URL(f"{self._url}{path}{'?' if text else ''}{text}", encoded=True)
        try:
            async with self._session.request(
                method, url, headers={**self._headers, **(headers or {})}, data=body(), allow_redirects=False
            ) as response:
                if not 200 <= response.status < 300:
                    raise await self._refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(self._why(error)) from error

    async def get(self, path: str, **query: Any) -> Any:
        """Return the JSON that a path answers with. Raises as ``ask`` does."""
        async with self.ask("GET", path, query=query) as response:
            return await self.read(response)

    async def read(self, response: aiohttp.ClientResponse) -> Any:
        """Return the JSON of an answer.

        Raises:
            Reported: It is none.
        """
        try:
            return json.loads(await response.read())
        except ValueError as error:
            sentence = f"What answers at {self.shown} is no modelserve: it sent {response.content_type}, and no JSON."
            raise Reported(sentence, status=502) from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelserveError:
        try:
            told = json.loads(await response.text(errors="replace"))
        except ValueError:
            told = None
        if response.status == 422 and isinstance(told, dict) and (fields := _fields(told)):
            return InvalidArguments(fields)
        if isinstance(told, dict) and isinstance(told.get("message"), str):
            sentence = told["message"] + (TOKEN_HINT if response.status == 401 else "")
            return Reported(sentence, status=response.status, code=str(told.get("code", "")))
        what = f"{response.status} {response.reason}"
        if "Location" in response.headers:
            what += f" and names {response.headers['Location']}, which may be the --url to give"
        return Reported(f"What answers at {self.shown} is no modelserve: it says {what}.", status=response.status)

    def _why(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientConnectorError):
            refused = isinstance(error.os_error, ConnectionRefusedError)
            reason = "the connection was refused" if refused else error.os_error.strerror or str(error)
            return f"No server can be reached at {self.shown}: {reason}. 'modelserve run' starts one."
        if isinstance(error, TimeoutError):
            return f"The server at {self.shown} does not answer in time."
        return f"The connection to {self.shown} broke off: {str(error) or type(error).__name__}."


def _fields(told: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of arguments: a list or an object; what every error has beside it is a text."""
    return {name: said for name, said in told.items() if not (name in _OF_EVERY_ERROR and isinstance(said, str))}
