"""The roll: all clients and tokens that are valid now, in memory, where a request is matched with its client.

    Authorization header + address  ->  find  ->  Client, or Unauthorized, TooManyRequests

It does no I/O: refresh.py puts in what the database says. Every token is compared by its digest, in constant time, and
one that is not known costs the same work as one that is.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import time
from collections.abc import Mapping

from modelserve.access.client import ANYBODY, Client
from modelserve.access.throttle import FAILURES_A_MINUTE, FailedLogins
from modelserve.access.token import Parsed, parse
from modelserve.errors import Unauthorized

__all__ = ["Entry", "Roll", "Snapshot"]

# Headers that are known to be right. More clients than that are served as well, a few microseconds slower.
KNOWN_HEADERS = 1024

MISSING = "This needs a token: send it as 'Authorization: Bearer TOKEN', or as the password of HTTP Basic."
REFUSED = "The token is not valid."


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A token: the SHA-256 of its secret, whose it is, and the monotonic time from which on it is valid no more."""

    digest: bytes
    client: Client
    expires_s: float


# What an unknown token is compared with, and nothing is equal to; it has expired too.
NOBODY = Entry(bytes(32), ANYBODY, -1.0)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What the database says at one moment: its ``generation``, tokens by id, and whether there is any client."""

    generation: int
    entries: Mapping[str, Entry]
    has_clients: bool


class Roll:
    """Whom the server knows. Without clients it is empty, and everybody is :data:`ANYBODY`.

    ``is_empty`` is an attribute, so that asking is as cheap as can be.
    """

    def __init__(self, failed_logins: int = FAILURES_A_MINUTE) -> None:
        self.is_empty = True
        self.generation = -1
        self._entries: Mapping[str, Entry] = {}
        # What was found for a header before, and who it was counted as: 0.5 us in place of 5 (timeit). A wrong token is
        # never in it, and what comes close to a right one does not even have its hash, which is keyed: so how long a
        # look takes tells nothing.
        self._known: dict[str, tuple[Entry, str]] = {}
        self._failed = FailedLogins(failed_logins)

    def replace(self, snapshot: Snapshot) -> None:
        """Hold from now on what the database says."""
        self.generation = snapshot.generation
        self._entries = snapshot.entries
        self._known = {}
        self.is_empty = not snapshot.has_clients

    def known(self, authorization: str) -> Client | None:
        """Return who sends a header that was right before, None where :meth:`find` has to look. 0.2 us (timeit)."""
        found = self._known.get(authorization)
        now = time.monotonic()
        if found is None or now >= found[0].expires_s or not self._failed.are_over(now):
            return None
        return found[0].client

    def find(self, authorization: str | None, address: str) -> Client:
        """Return who calls.

        Args:
            authorization: The header's value, None where there is none.
            address: The client's, by which its failures are counted.

        Raises:
            Unauthorized: There is no token, or none that is valid now.
            TooManyRequests: There were too many failures.
        """
        if self.is_empty:
            return ANYBODY
        if not authorization:
            raise Unauthorized(MISSING)
        known = self._known.get(authorization)
        if known is not None and time.monotonic() < known[0].expires_s:
            self._failed.check(known[1], address)
            return known[0].client
        return self._match(authorization, address).client

    def is_valid(self, client: Client) -> bool:
        """Tell whether the token that a client came with is still valid, for what goes on for long."""
        if not client.token_id:
            return self.is_empty
        entry = self._entries.get(client.token_id)
        return entry is not None and entry.client == client and time.monotonic() < entry.expires_s

    def _match(self, authorization: str, address: str) -> Entry:
        name, text = _read(authorization)
        parsed = parse(text)
        # The id that is claimed, whether there is such a token or not: so that nobody learns which there are.
        who = name if name is not None else parsed.id if parsed else ""
        self._failed.check(who, address)
        entry = self._compare(parsed, name)
        if entry is None:
            self._failed.count(who, address)
            raise Unauthorized(REFUSED)
        if len(self._known) >= KNOWN_HEADERS:
            self._known.clear()
        self._known[authorization] = entry, who
        return entry

    def _compare(self, parsed: Parsed | None, name: str | None) -> Entry | None:
        """Return what a token is, None where it is not valid. All is compared, whatever has failed before."""
        id, digest = parsed or _NONE
        entry = self._entries.get(id, NOBODY)
        is_same = hmac.compare_digest(digest, entry.digest)
        is_named = name is None or hmac.compare_digest(name.encode(errors="replace"), entry.client.name.encode())
        is_live = time.monotonic() < entry.expires_s
        return entry if is_same & is_named & is_live else None


_NONE = Parsed("", b"\xff" * 32)


def _read(authorization: str) -> tuple[str | None, str]:
    """Return (name, token) of a header; the name is None where it has none, the token "" where it has none."""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return None, rest.strip()
        case "basic":
            return _read_basic(rest.strip())
    return None, ""


def _read_basic(encoded: str) -> tuple[str | None, str]:
    """RFC 7617: base64 of ``name:password``, whose characters are UTF-8 here."""
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):  # no base64, or no UTF-8
        return None, ""
    return (name, password) if colon else (None, "")
