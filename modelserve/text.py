"""The one rule for text from outside that is no text: bytes that are no UTF-8, and lone surrogates.

Headers, form fields, file names and the command line are read with such bytes as lone surrogates (PEP 383), and JSON
can spell surrogates too (``"\\ud800"``). No encoding writes them. What is needed as a value is refused where
``is_text`` says no; what is only shown to somebody is shown as ``shown`` has it.
"""

from __future__ import annotations

import re

__all__ = ["is_text", "shown"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(text: str) -> bool:
    """Tell whether every encoding of Unicode can write a text: it has no lone surrogates.

    >>> is_text("Grün"), is_text("Gr\\udcffn")
    (True, False)
    """
    return text.isascii() or _SURROGATE.search(text) is None


def shown(text: str | bytes) -> str:
    """Return a text that every encoding of Unicode can write, with U+FFFD for what is no text in the one given.

    >>> shown(b"cat\\xff.png") == shown("cat\\udcff.png") == "cat\\ufffd.png"
    True
    """
    if isinstance(text, bytes):
        return text.decode(errors="replace")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
