"""Posts to hosts that the operator allows, and reaches no other through them.

    url -> callback_hosts has its host -> its name is resolved once -> addresses that are public, or allowed too -> POST

A redirect is an answer like any other, a proxy of the environment is not asked, certificates are checked, and nothing
is read of an answer but its head, of which no more is held than a line. A general client would read interim answers
(1xx) for as long as they come, thousands at a time, and nothing else would be done meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from yarl import URL

from modelserve.errors import InvalidArguments
from modelserve.settings import Settings
from modelserve.web.callbacks import check_callback
from modelserve.web.names import Names

__all__ = ["Outward", "Unanswered", "may_be_reached"]

# Names that are nobody's in public: RFC 6761, RFC 6762, RFC 8375, and ICANN's reservation of "internal" (2024).
_PRIVATE_NAMES = (".localhost", ".local", ".home.arpa", ".internal")

# An IPv4 address behind these bits is reached through a gateway (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")

# The lines of a head, with those of interim answers before it, and how long each may be.
MOST_LINES = 256
MOST_LINE_BYTES = 16 * 1024

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})[ \r\n]")


class Unanswered(Exception):
    """A post was not answered; the text says why, and holds nothing of the url but its host."""


class Outward:
    """A client for callbacks.

    Args:
        settings: Which hosts are allowed.
        timeout_s: How long one post may take, from looking up the host's name to the head of the answer.
    """

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._settings = settings
        self._allowed = settings.callback_hosts.split(",")
        self._timeout_s = timeout_s
        self._names = Names()
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post JSON and return the status of the answer.

        Raises:
            Unanswered: The host is not allowed, or did not answer in time.
        """
        try:
            target = URL(check_callback(url, self._settings), encoded=True)
            async with asyncio.timeout(self._timeout_s), self._connected(target) as (reader, writer):
                writer.write(_head(url, target, len(body), headers) + body)
                return await _status(reader)
        except InvalidArguments as error:
            raise Unanswered("the setting callback_hosts does not allow it any more") from error
        except TimeoutError as error:
            raise Unanswered(f"no answer within {self._timeout_s:g} s") from error
        except (OSError, ValueError) as error:
            raise Unanswered(" ".join(str(error).split()) or type(error).__name__) from error

    @contextlib.asynccontextmanager
    async def _connected(self, target: URL) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect, and close the connection at the end without a wait for the other side."""
        reader, writer = await self._connect(target, await self._addresses(target))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _addresses(self, target: URL) -> list[str]:
        host, port = target.host or "", target.port or 0
        if _is_address(host):  # callback_hosts has it
            return [host]
        found = await self._names.addresses(host, port)
        reached = [address for address in found if may_be_reached(address, host, port, self._allowed)]
        if not reached:
            raise OSError("its name leads to an address that is not public, and that callback_hosts does not have")
        return reached

    async def _connect(
        self, target: URL, addresses: Sequence[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address that takes it; one that does not answer leaves time for the others."""
        tls = {"ssl": self._trusting(), "server_hostname": target.host} if target.scheme == "https" else {}
        each_s = self._timeout_s / (len(addresses) + 1)
        for address in addresses:
            is_last = address == addresses[-1]
            try:
                async with asyncio.timeout(None if is_last else each_s):
                    return await asyncio.open_connection(address, target.port, limit=MOST_LINE_BYTES, **tls)  # type: ignore[arg-type]
            except OSError:  # a timeout too
                if is_last:
                    raise
        raise AssertionError("there is an address")

    def _trusting(self) -> ssl.SSLContext:
        self._tls = self._tls or ssl.create_default_context()
        return self._tls


def may_be_reached(address: str, host: str, port: int, allowed: Collection[str]) -> bool:
    """Tell whether what a name has been resolved to may be connected to.

    A public address may. Any other only where the operator allows the address itself too, or where the name is one of a
    private network (one word, or .internal, .local, .localhost, .home.arpa) and the address a private one; so a public
    name does not lead to a neighbour, and no name to a cloud's metadata (169.254.169.254).

    >>> may_be_reached("10.0.0.7", "hooks.example.org", 443, ["hooks.example.org"])
    False
    >>> may_be_reached("10.0.0.7", "hooks.example.org", 443, ["hooks.example.org", "10.0.0.7"])
    True
    >>> may_be_reached("10.0.0.7", "hooks.internal", 443, ["hooks.internal"])
    True
    """
    found = ip_address(address.partition("%")[0])
    written = f"[{found}]" if found.version == 6 else str(found)
    if written in allowed or f"{written}:{port}" in allowed:
        return True
    real = _behind(found)
    if real.is_multicast or real.is_link_local or real.is_unspecified:
        return False
    return real.is_global or ((not real.is_reserved or real.is_loopback) and _is_private_name(host))


def _behind(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that one of IPv6 stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_private_name(host: str) -> bool:
    return "." not in host or host.endswith(_PRIVATE_NAMES)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ip_address(host)
        return True
    return False


def _head(url: str, target: URL, size: int, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request; the address is checked, and the headers are ours."""
    own = {"Host": urlsplit(url).netloc, "User-Agent": "modelserve", "Connection": "close", "Content-Length": str(size)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**own, **headers}.items())
    return f"POST {target.raw_path_qs} HTTP/1.1\r\n{lines}\r\n".encode("ascii")


async def _status(reader: asyncio.StreamReader) -> int:
    """Return the status of an answer once its whole head has come.

    Raises:
        ValueError: It is no HTTP, or has too many lines, or one that is too long.
        ConnectionError: It breaks off.
    """
    status = 0
    for _ in range(MOST_LINES):
        try:
            line = await reader.readline()
        except ValueError as error:
            raise ValueError("a line of the head of its answer is too long") from error
        if not line.endswith(b"\n"):
            raise ConnectionError("it has closed the connection before it has answered")
        if status == 0:
            if not (found := _STATUS.match(line)):
                raise ValueError("what it answers is no HTTP")
            status = int(found[1])
        elif line in (b"\r\n", b"\n"):
            if status >= 200 or status == 101:
                return status
            status = 0  # that was an interim answer
    raise ValueError(f"the head of its answer has more than {MOST_LINES} lines")
