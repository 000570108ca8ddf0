"""Looks up the addresses of host names, each on a thread that nobody waits for.

    host, port -> getaddrinfo on a thread -> addresses

A name server that is not there is asked for half a minute and longer, and nothing ends that. So neither a try that has
no more time waits for it, nor another name, nor the end of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

__all__ = ["MOST_THREADS", "Names"]

# Names that are looked up at the same time, with those that nobody waits for any more.
MOST_THREADS = 64


class Names:
    """The names of one server."""

    def __init__(self) -> None:
        self._running = 0

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, at least one, each once.

        Raises:
            OSError: It has none, or too many names are being looked up already.
        """
        if self._running >= MOST_THREADS:
            raise OSError("too many names of hosts are being looked up, and are not answered")
        found: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        thread = threading.Thread(target=self._look_up, args=(host, port, found), name="look-up", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread left
            raise OSError(str(error)) from error
        self._running += 1
        return await found

    def _look_up(self, host: str, port: int, found: asyncio.Future[list[str]]) -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            result: list[str] | Exception = list(dict.fromkeys(str(address[0]) for *_, address in told))
        except Exception as error:  # a name that is none is a UnicodeError
            result = error if isinstance(error, OSError) else OSError(str(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            found.get_loop().call_soon_threadsafe(self._tell, found, result)

    def _tell(self, found: asyncio.Future[list[str]], result: list[str] | Exception) -> None:
        self._running -= 1
        if found.done():  # nobody waits any more
            return
        if isinstance(result, Exception):
            found.set_exception(result)
        else:
            found.set_result(result)
