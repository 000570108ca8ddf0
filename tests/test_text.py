"""The one rule for bytes that are no UTF-8 and for lone surrogates (X1)."""

from __future__ import annotations

import os

import pytest

from modelserve.text import is_text, shown

BROKEN = ["\udcff", "a\ud800b", "\udfff", "\ud83d\ude00 in halves", "ü\udc80"]


@pytest.mark.parametrize("text", ["", "plain", "Grün", "\U0001f600", "\x00\n", "\ufffd", "\ue000"])
def test_text_is_text_and_shown_as_it_is(text: str) -> None:
    assert is_text(text)
    assert shown(text) == text
    assert shown(text.encode()) == text


@pytest.mark.parametrize("text", BROKEN)
def test_a_lone_surrogate_is_no_text_and_shown_as_a_sign_that_every_encoding_writes(text: str) -> None:
    assert not is_text(text)
    assert is_text(shown(text))
    assert len(shown(text)) == len(text)
    shown(text).encode()


def test_bytes_that_are_no_utf_8_are_shown_the_same_however_they_were_read() -> None:
    assert shown(b"cat\xff.png") == shown(os.fsdecode(b"cat\xff.png")) == "cat\ufffd.png"
