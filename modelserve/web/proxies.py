"""Who really asks, where proxies that the operator trusts stand between: the forwarded headers are theirs alone.

    connection's other end, X-Forwarded-For, -Host, -Prefix -> the client's address, the host and the prefix it sees

From anybody else these headers are what a client says of itself, and are not read. Of several addresses in
X-Forwarded-For the last that is no trusted proxy's counts: those before it may be made up by the client.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from aiohttp import hdrs, web

__all__ = ["PROXIES", "Proxies", "client_address", "prefix_of"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What a proxy has taken off the path; https://doc.traefik.io/traefik/middlewares/http/stripprefix/ sends it.
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}){1,20}")

_FORWARDED_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,260}")


class Proxies:
    """The proxies whose forwarded headers are believed.

    Args:
        networks: Their addresses, each with the number of its bits where it is a network: ``10.0.0.0/8``.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client_address(self, request: web.BaseRequest) -> str:
        """Return the address that a request comes from, "" where it is not known."""
        address = request.remote or ""
        if not self._networks or not self._trusts(address):
            return address
        for forwarded in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
            found = _parse(forwarded)
            if found is None:
                break
            address = str(found)
            if not self._trusts(address):
                break
        return address

    def host(self, request: web.BaseRequest) -> str | None:
        """Return the host that the client has asked, with its port where it named one; None where it named none."""
        return self._forwarded(request, "X-Forwarded-Host", _FORWARDED_HOST) or request.headers.get(hdrs.HOST)

    def prefix(self, request: web.BaseRequest) -> str:
        """Return what proxies have taken off the front of the path, without a slash at its end."""
        return self._forwarded(request, "X-Forwarded-Prefix", _PREFIX)

    def scheme(self, request: web.BaseRequest) -> str:
        """Return ``http`` or ``https``, as the client has asked."""
        return self._forwarded(request, "X-Forwarded-Proto", re.compile("https?")) or request.scheme

    def _forwarded(self, request: web.BaseRequest, name: str, form: re.Pattern[str]) -> str:
        """Return the first value of a header, which the proxy nearest to the client has set, or "" for a bad one."""
        if not self._networks or name not in request.headers or not self._trusts(request.remote or ""):
            return ""
        value = request.headers[name].partition(",")[0].strip().rstrip("/")
        return value if form.fullmatch(value) else ""

    def _trusts(self, address: str) -> bool:
        found = _parse(address)
        return found is not None and any(found in network for network in self._networks)


PROXIES = web.AppKey("proxies", Proxies)


def client_address(request: web.Request) -> str:
    """Return the address that a request comes from, "" where it is not known."""
    return request.config_dict[PROXIES].client_address(request)


def prefix_of(request: web.Request) -> str:
    """Return what stands before every path as the client sees it, besides ``base_path``; "" without a proxy."""
    proxies = request.config_dict.get(PROXIES)
    return proxies.prefix(request) if proxies else ""


def _parse(text: str) -> Address | None:
    """Return an address without its port and its zone; one of IPv4 in the form of IPv6 as what it is."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
