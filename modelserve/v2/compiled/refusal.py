"""The words of this package: what a check is, and how it says no.

A check raises rather than returns its no, so that one call inside another needs no test of what came back; whatever it
raises, a TypeError of a comparison too, means the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["REFUSED", "Check", "NotCompiled", "Refused"]


class _Refusal:
    def __repr__(self) -> str:
        return "REFUSED"


REFUSED: Final = _Refusal()
"""What a compiled schema gives for a value that marshmallow has to look at."""


class Refused(Exception):
    """A value that is not plainly valid; whether it is valid at all, marshmallow says."""


class NotCompiled(Exception):
    """A schema or field that only marshmallow can load."""


class Check(NamedTuple):
    """How one field's values are loaded.

    Args:
        load: Returns the loaded value of one that is plainly valid, raises anything for any other; never changes it.
        kept: Values of exactly this type are all valid, and loaded as they are; None where there is no such type.
        load_all: Does ``load`` for all items of a list, and returns a new list; None where nothing is gained by that.
    """

    load: Callable[[Any], Any]
    kept: type | None = None
    load_all: Callable[[list[Any]], list[Any]] | None = None
