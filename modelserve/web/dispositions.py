"""Content-Disposition: what a part of a form is called, and under which name an answer may be saved. No I/O.

    form-data; name="x"; filename="a;b.png"  ->  names_of  ->  "x", "a;b.png"
    inline, Zürich.csv  ->  disposition  ->  inline; filename="Zurich.csv"; filename*=UTF-8''Z%C3%BCrich.csv

Clients write the names of a form in one of three ways: a quote as ``%22`` (browsers, curl, requests) or as ``\\"``, a
backslash as itself or twice, and now and then in RFC 5987's ``filename*``, which RFC 7578 does not allow.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from typing import NamedTuple
from urllib.parse import quote, unquote

from aiohttp import content_disposition_filename

from modelserve.text import shown

__all__ = ["Names", "disposition", "names_of"]

# A value ends at a quote behind which the next parameter begins, so that a name may end with a backslash.
_PARAMETER = re.compile(r';\s*([^\s;="]+)\s*=\s*(?:"((?:\\"|[^"])*)"(?=\s*(?:;|$))|([^;]*))')
_ESCAPED = re.compile(r'\\(["\\])')
# RFC 8187, 3.2.1, names the first; RFC 5987 had the second too. No other is decoded for a client.
_CHARSETS = frozenset({"utf-8", "iso-8859-1"})

# All that every client takes in a quoted name. RFC 6266, appendix D: no "%", no backslash, no quote.
_UNSAFE = re.compile(r"[^\w .,+=@()-]", re.ASCII)


class Names(NamedTuple):
    """What a part is called, and the name of its file: None where it is no file, "" where it has none."""

    name: str
    filename: str | None


def names_of(header: str) -> Names | None:
    """Return the names in a part's Content-Disposition, None where it names no part, or anything twice.

    >>> names_of('form-data; name="x"; filename="a;b;c.png"')
    Names(name='x', filename='a;b;c.png')
    >>> names_of("form-data; name=x; filename*=UTF-8''Z%C3%BCrich.csv; filename=Zurich.csv")
    Names(name='x', filename='Zürich.csv')
    """
    found: dict[str, str] = {}
    for key, quoted, bare in _PARAMETER.findall(header):
        key = key.lower()
        if key in found:
            return None
        found[key] = _ESCAPED.sub(r"\1", quoted) or bare.strip().strip('"')
    for key in ("name", "filename"):
        _decode(found, key)
    name, filename = content_disposition_filename(found, "name"), content_disposition_filename(found)
    if filename is None and any(key.startswith("filename*") for key in found):  # parts of a name that cannot be read
        filename = ""
    return Names(name, filename) if name else None


def disposition(kind: str, filename: str) -> str:
    """Return a Content-Disposition with RFC 6266's pair of names: one that every client reads, and the true one.

    >>> disposition("inline", "Zürich.csv")
    'inline; filename="Zurich.csv"; filename*=UTF-8\\'\\'Z%C3%BCrich.csv'
    """
    name = "".join(letter if letter.isprintable() and letter not in "/\\" else "_" for letter in shown(filename))
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return f"{kind}; filename=\"{_UNSAFE.sub('_', ''.join(letters))}\"; filename*=UTF-8''{quote(name, safe='')}"


def _decode(found: dict[str, str], key: str) -> None:
    """Put in the place of a parameter its extended value, where there is one that can be read."""
    extended = found.pop(f"{key}*", None)
    if extended is None:
        return
    found.setdefault(key, "")
    charset, _, rest = extended.partition("'")
    if charset.lower() in _CHARSETS:
        with contextlib.suppress(UnicodeDecodeError):
            found[key] = unquote(rest.partition("'")[2], charset, "strict")
