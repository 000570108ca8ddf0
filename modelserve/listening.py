"""Opens the port of a server: an address in, a listening socket out, and a sentence where that cannot be."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp.http_parser

from modelserve.errors import PortInUse, SettingsError, StartError
from modelserve.settings import Settings
from modelserve.web.front import BACKLOG

__all__ = ["address_of", "are_loopback", "listen", "require_c_parser", "require_clients"]

logger = logging.getLogger(__name__)

# What it is called when this machine does not have an address, or none of its kind.
ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

# How often a port is looked for that is free at all addresses.
TRIES = 20


def require_c_parser() -> None:
    """Check that aiohttp parses requests with its compiled parser.

    Raises:
        SettingsError: It does not.
    """
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise SettingsError(
            "aiohttp runs on its pure-Python HTTP parser, which lets smuggled requests pass: unset "
            "AIOHTTP_NO_EXTENSIONS, or install aiohttp from a wheel."
        )


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on one port, one for each address of the host; those of IPv4 first.

    An address that this machine does not have, as ``::1`` is where IPv6 is off, is left out where it has another one.

    Raises:
        PortInUse: An address is taken.
        SettingsError: None is an address of this machine, or one may not be listened on.
    """
    addresses = _addresses(host, port)
    for _ in range(TRIES):
        with contextlib.ExitStack() as stack:
            opened: list[socket.socket] = []
            try:
                for family, address in addresses:
                    number = opened[0].getsockname()[1] if opened else port
                    one = _open(family, (address[0], number, *address[2:]), is_only=len(addresses) == 1)
                    opened += [] if one is None else [stack.enter_context(one)]
            except OSError as error:
                if opened and port == 0 and error.errno == errno.EADDRINUSE:
                    continue  # the free port of the first address is not free at this one: look for another
                raise _cannot_listen(host, port, error) from error
            if not opened:
                break
            stack.pop_all()
            return opened
    raise SettingsError(f"Cannot listen on {host}:{port}: its addresses are not free here; choose another --host.")


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter for a name that is no domain name
        why = getattr(error, "strerror", None) or "it is no host name"
        raise SettingsError(f"host is {host!r}, which is no address of this machine: {why}.") from error
    addresses = dict.fromkeys((int(family), address) for family, _, _, _, address in found)
    return sorted(addresses, key=lambda each: each[0] != socket.AF_INET)


def _open(family: int, address: Any, *, is_only: bool) -> socket.socket | None:
    """Return a socket that listens there; None for an address that is not there, where there are others."""
    listening = None
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not is_only:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        if is_only or error.errno not in ABSENT:
            raise
        logger.warning("%s is not listened on, for this machine does not have it: %s", address[0], error.strerror)
        return None
    return listening


def require_clients(listening: Sequence[socket.socket], settings: Settings, *, has_clients: bool) -> None:
    """Check that nobody can reach a server from elsewhere that lets everybody do everything.

    Raises:
        SettingsError: Somebody can, and ``insecure_no_auth`` does not allow it.
    """
    if has_clients or are_loopback(listening):
        return
    where = f"host is {settings.host!r}, where others can reach the server, and it has no clients"
    if not settings.insecure_no_auth:
        raise SettingsError(
            f"{where}: add one with 'modelserve clients add NAME', or let everybody in with --insecure-no-auth."
        )
    logger.warning("%s: everybody may call, train and reload", where)


def are_loopback(listening: Sequence[socket.socket]) -> bool:
    """Tell whether only this machine can reach listening sockets."""
    addresses = [str(each.getsockname()[0]).partition("%")[0] for each in listening]
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _cannot_listen(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"{host}:{port} is in use already; stop the other program or choose another --port.")
    return SettingsError(f"Cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port.")


def address_of(listening: socket.socket, scheme: str = "http") -> str:
    """Return the URL at which a socket listens."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"
