"""Content negotiation: which of the offered media types an ``Accept`` header asks for (RFC 9110, section 12.5.1).

Header text in, one media type out; no I/O. Malformed parts of a header are skipped, as nearly every server does.
"""

from __future__ import annotations

import re
from functools import lru_cache

from modelserve.errors import NotAcceptable

__all__ = ["choose", "choose_any", "is_fitting", "nothing_fits"]

# What is read of a header; real ones of browsers have about 150 characters. Bounds the time and the cache.
MAX_HEADER = 4096

_RANGE = re.compile(r"([\w!#$%&'*+.^`|~-]+)/([\w!#$%&'*+.^`|~-]+)", re.ASCII)
# Any count of digits, and none before the point: Java's URLConnection sends ``*; q=.2, */*; q=.2``.
_WEIGHT = re.compile(r"0?\.\d+|0\.?|1(?:\.0*)?", re.ASCII)


def choose(accept: str, offered: tuple[str, ...]) -> str:
    """Return the offered media type that the client prefers.

    Each offered type gets the weight of the most specific range that covers it (``image/png`` before ``image/*`` before
    ``*/*``; the highest one where a range is given twice); weight 0 excludes. The highest weight wins, and of equal
    weights the one offered first, so a server's default stays the default unless the client prefers another. Parameters
    other than ``q`` are ignored. An absent header, ``*/*`` and a header of malformed parts alone give ``offered[0]``.

    Args:
        accept: The header's value, "" where absent.
        offered: Media types in the server's order; at least one.

    Raises:
        NotAcceptable: No offered type is covered, or all that are have weight 0.
    """
    if accept in ("", "*/*"):
        return offered[0]
    chosen = _choose(_bounded(accept), offered)
    if not chosen:
        raise nothing_fits(offered)
    return chosen


def nothing_fits(offered: tuple[str, ...]) -> NotAcceptable:
    """Return the error of an Accept header that none of the offered media types fits."""
    return NotAcceptable(f"Nothing fits the Accept header; this model can answer with {', '.join(offered)}.")


def is_fitting(accept: str, offered: tuple[str, ...]) -> bool:
    """Tell whether :func:`choose` would find one."""
    return accept in ("", "*/*") or bool(_choose(_bounded(accept), offered))


def choose_any(accept: str, offered: tuple[str, ...]) -> str:
    """Return as :func:`choose` does, and ``offered[0]`` where nothing fits."""
    return _choose(_bounded(accept), offered) or offered[0]


def _bounded(accept: str) -> str:
    """Cut a very long header after its last whole part."""
    return accept if len(accept) <= MAX_HEADER else accept[:MAX_HEADER].rpartition(",")[0]


@lru_cache(maxsize=256)
def _choose(accept: str, offered: tuple[str, ...]) -> str:
    weights = _weights(accept)
    if not weights:
        return offered[0]
    best = max(offered, key=lambda media_type: _weight_of(media_type, weights))
    return best if _weight_of(best, weights) > 0 else ""


def _weights(accept: str) -> dict[str, float]:
    """Return the weight of each range of the header, by its lower-case name."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = _weight(parameters)
        name = "*/*" if name == "*" else name
        if weight is not None and _is_range(name):
            weights[name] = max(weight, weights.get(name, 0.0))
    return weights


def _is_range(name: str) -> bool:
    match = _RANGE.fullmatch(name)
    return match is not None and (match[1] != "*" or match[2] == "*")


def _weight(parameters: list[str]) -> float | None:
    """Return the value of ``q``, 1 where there is none, None where it is malformed."""
    for parameter in parameters:
        key, _, value = (piece.strip() for piece in parameter.partition("="))
        if key == "q":
            return float(value) if _WEIGHT.fullmatch(value) else None
    return 1.0


def _weight_of(media_type: str, weights: dict[str, float]) -> float:
    name = media_type.partition(";")[0].strip().lower()
    for covering in (name, f"{name.partition('/')[0]}/*", "*/*"):
        if covering in weights:
            return weights[covering]
    return 0.0
