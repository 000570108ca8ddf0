"""Tokens: what a client proves itself with.

    ms_ 7Yt3kQ9sLd _ 43 characters: 256 random bits  6 characters: checksum
        id           the secret

All of it is letters and digits (base 62). The prefix and the checksum, CRC-32 of all before it, are for programs that
look for leaked secrets, as GitHub's tokens have them. Of the secret only its SHA-256 is stored: it is as random as a
key, so that no slow hash is needed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import NamedTuple

__all__ = ["Parsed", "Token", "make", "parse"]

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase

# Two digits at a time: half the divisions, since each request pays for a checksum.
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]

_ID_LENGTH = 10
_SECRET_BITS = 256
# 62 ** 43 is a little more than 2 ** 256, and 62 ** 6 than 2 ** 32.
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6

_FORM = re.compile(rf"(ms_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}}))([0-9A-Za-z]{{6}})")


class Token(NamedTuple):
    """A new token: ``text`` is for the client alone, ``id`` and ``digest`` are what is stored of it."""

    text: str
    id: str
    digest: bytes


class Parsed(NamedTuple):
    """What is known of a token that was given: which one it says it is, and the SHA-256 of its secret."""

    id: str
    digest: bytes


def make() -> Token:
    """Return a new token."""
    id = "".join(secrets.choice(_DIGITS) for _ in range(_ID_LENGTH))
    secret = _base62(secrets.randbits(_SECRET_BITS), _SECRET_LENGTH)
    whole = f"ms_{id}_{secret}"
    return Token(whole + _checksum(whole), id, _digest(secret))


def parse(text: str) -> Parsed | None:
    """Return what a text says of a token, None where it has not the form of one or its checksum is wrong."""
    found = _FORM.fullmatch(text)
    if found is None or _checksum(found[1]) != found[4]:
        return None
    return Parsed(found[2], _digest(found[3]))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    pairs = []
    for _ in range(0, length, 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))[-length:]
