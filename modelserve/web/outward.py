"""Posts to hosts that the operator allows, and reaches no other through them.

    url -> callback_hosts has its host -> its name is resolved once -> addresses that are public, or allowed too -> POST

A redirect is an answer like any other, a proxy of the environment is not asked, certificates are checked, and nothing
is read of an answer but its head.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from modelserve.errors import InvalidArguments
from modelserve.settings import Settings
from modelserve.web.callbacks import check_callback

__all__ = ["Outward", "Unanswered", "may_be_reached"]

# Names that are nobody's in public: RFC 6761, RFC 6762, RFC 8375, and ICANN's reservation of "internal" (2024).
_PRIVATE_NAMES = (".localhost", ".local", ".home.arpa", ".internal")

# An IPv4 address behind these bits is reached through a gateway (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")


class Unanswered(Exception):
    """A post was not answered; the text says why, and holds nothing of the url but its host."""


class Outward:
    """A client for callbacks, of use from :meth:`open` to :meth:`close`.

    Args:
        settings: Which hosts are allowed.
        timeout_s: How long one post may take, from looking up the host's name to the head of the answer.
    """

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession

    async def open(self) -> None:
        """Make what connections need; it connects to nothing yet."""
        allowed = self._settings.callback_hosts.split(",")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_Resolver(allowed), use_dns_cache=False, force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "modelserve"},
            trust_env=False,
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Post JSON and return the status of the answer.

        Raises:
            Unanswered: The host is not allowed, or did not answer in time.
        """
        try:
            target = URL(check_callback(url, self._settings), encoded=True)
            sent = self._session.post(target, data=body, headers=headers, allow_redirects=False)
            async with sent as response:
                return response.status
        except InvalidArguments as error:
            raise Unanswered("the setting callback_hosts does not allow it any more") from error
        except TimeoutError as error:
            raise Unanswered(f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered(_reason(error)) from error


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


class _Resolver(aiohttp.ThreadedResolver):
    """The system's resolver, less the addresses that may not be reached."""

    def __init__(self, allowed: Collection[str]) -> None:
        super().__init__()
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        reached = [each for each in found if may_be_reached(each["host"], host, port, self._allowed)]
        if not reached:
            raise OSError("its name leads to an address that is not public, and that callback_hosts does not have")
        return reached


def _behind(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that one of IPv6 stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_private_name(host: str) -> bool:
    return "." not in host or host.endswith(_PRIVATE_NAMES)


def _reason(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return " ".join(str(cause).split()) or type(cause).__name__
