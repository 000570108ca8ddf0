"""Opens the port of a server: an address in, a listening socket out, and a sentence where that cannot be."""

from __future__ import annotations

import ipaddress
import logging
import socket

import aiohttp.http_parser

from modelserve.errors import PortInUse, SettingsError, StartError
from modelserve.settings import Settings
from modelserve.web.front import BACKLOG

__all__ = ["address_of", "is_loopback", "listen", "require_c_parser", "require_clients"]

logger = logging.getLogger(__name__)


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


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        PortInUse: The address is taken.
        SettingsError: It is no address of this machine, or may not be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # the latter for a name that is no domain name
        why = getattr(error, "strerror", None) or "it is no host name"
        raise SettingsError(f"host is {host!r}, which is no address of this machine: {why}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from error
    return listening


def require_clients(listening: socket.socket, settings: Settings, *, has_clients: bool) -> None:
    """Check that nobody can reach a server from elsewhere that lets everybody do everything.

    Raises:
        SettingsError: Somebody can, and ``insecure_no_auth`` does not allow it.
    """
    if has_clients or is_loopback(listening):
        return
    where = f"host is {settings.host!r}, where others can reach the server, and it has no clients"
    if not settings.insecure_no_auth:
        raise SettingsError(
            f"{where}: add one with 'modelserve clients add NAME', or let everybody in with --insecure-no-auth."
        )
    logger.warning("%s: everybody may call, train and reload", where)


def is_loopback(listening: socket.socket) -> bool:
    """Tell whether only this machine can reach a listening socket."""
    address, _, _ = str(listening.getsockname()[0]).partition("%")
    return ipaddress.ip_address(address).is_loopback


def _cannot_listen(host: str, port: int, error: OSError) -> StartError:
    if error.errno in (98, 48):  # EADDRINUSE on Linux and on BSD
        return PortInUse(f"{host}:{port} is in use already; stop the other program or choose another --port.")
    return SettingsError(f"Cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port.")


def address_of(listening: socket.socket, scheme: str = "http") -> str:
    """Return the URL at which a socket listens."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"
