"""Checks where a job's end may be told: only web addresses of hosts that the operator allows.

A server that posts wherever a client says reaches what only it can reach: a neighbour's admin page, a cloud's metadata.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from modelserve.errors import InvalidArguments
from modelserve.settings import Settings

__all__ = ["CALLBACK_URL", "check_callback", "receiver_of"]

# The query parameter, and what a 422 about it names.
CALLBACK_URL = "callback_url"

MAX_LENGTH = 2000

_PORTS = {"http": 80, "https": 443}

# What an address may hold (RFC 3986). All else, a backslash above all, is read differently by different programs.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)

# Scheme, host and port.
_RECEIVER = re.compile("[^/?#]*(?://[^/?#]*)?")

# A port has one way to be written, so that one receiver has hardly more.
_PADDED_PORT = re.compile(":0[0-9]+$")

_NO_ADDRESS = "It must be an http or https address without a user name."


def check_callback(url: str, settings: Settings) -> str:
    """Return the address, once it is found to be one that the setting ``callback_hosts`` allows.

    A host of the setting that has no port allows the scheme's usual one.

    Raises:
        InvalidArguments: It is no web address, or its host is not allowed.
    """
    parts = _split(url)
    assert parts.hostname is not None, "it was checked"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = _PORTS[parts.scheme]
    allowed = settings.callback_hosts.split(",")
    port = parts.port or usual
    if f"{host}:{port}" not in allowed and not (port == usual and host in allowed):
        raise InvalidArguments({CALLBACK_URL: ["Its host is none that the setting callback_hosts allows."]})
    return url


def receiver_of(url: str) -> str:
    """Return what all callbacks to one receiver have in common: scheme, host and port, as their address has them.

    >>> receiver_of("https://Hooks.example.org:8443/done?job=1")
    'https://hooks.example.org:8443'
    """
    found = _RECEIVER.match(url)
    assert found is not None, "it matches any text"
    return found[0].lower()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_whole = parts.hostname and parts.port != 0 and "@" not in parts.netloc
        is_whole = is_whole and not _PADDED_PORT.search(parts.netloc)
        if is_whole and _ADDRESS.fullmatch(url) and len(url) <= MAX_LENGTH:
            return parts
    except ValueError:  # a port that is none, a bracket that is not closed
        pass
    raise InvalidArguments({CALLBACK_URL: [_NO_ADDRESS]})
