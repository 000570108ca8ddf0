"""Tokens: as random as a key, found by scanners, and stored as a hash only."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from modelserve.access import token

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def number(text: str) -> int:
    value = 0
    for character in text:
        value = value * 62 + ALPHABET.index(character)
    return value


def test_a_token_has_a_prefix_an_id_256_bits_and_a_checksum() -> None:
    """K09."""
    made = token.make()
    prefix, id, rest = made.text.split("_")
    secret, checksum = rest[:-6], rest[-6:]
    assert (prefix, id, len(secret)) == ("ms", made.id, 43)
    assert number(secret) < 2**256
    assert number(checksum) == zlib.crc32(made.text[:-6].encode())
    assert made.digest == hashlib.sha256(secret.encode()).digest()
    assert token.parse(made.text) == (made.id, made.digest)


def test_tokens_use_all_256_bits() -> None:
    """K09."""
    secrets = [number(token.make().text.split("_")[2][:-6]) for _ in range(200)]
    ones = [sum(secret >> bit & 1 for secret in secrets) for bit in range(256)]
    assert len(set(secrets)) == 200
    assert all(50 < count < 150 for count in ones)  # seven times the deviation of a fair coin


def test_a_character_that_is_changed_is_noticed() -> None:
    text = token.make().text
    for place in range(len(text)):
        changed = "0" if text[place] != "0" else "1"
        assert token.parse(text[:place] + changed + text[place + 1 :]) is None


@pytest.mark.parametrize("text", ["", "ms_", "é" * 63, "ms_0123456789_" + "x" * 49, "\ud800", "x" * 9000])
def test_what_is_no_token_is_none(text: str) -> None:
    """K02, K03."""
    assert token.parse(text) is None


def test_white_space_is_no_part_of_a_token() -> None:
    text = token.make().text
    assert [token.parse(text + "\n"), token.parse(" " + text), token.parse(text.lower() + "X")] == [None] * 3
